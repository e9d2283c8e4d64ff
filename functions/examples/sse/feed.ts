const encoder = new TextEncoder();

/**
 * A quote that depends on its number alone. Every instance says the same about event 17, so a client may come back to
 * another instance and miss nothing. A real feed would read its events from KV or from an API by number.
 */
export function eventAt(id: number): { price: number } {
  const wave = Math.sin(id / 20) * 5 + Math.sin(id / 7) * 2;
  return { price: Math.round((100 + wave) * 100) / 100 };
}

export function frame(text: string): Uint8Array {
  return encoder.encode(text);
}
