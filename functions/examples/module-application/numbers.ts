/** The number of a day: the same for everybody who asks on that day, and known to nobody who has not the seed. */
export async function numberOf(day: string, seed: string, most: number): Promise<number> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(`${seed}/${day}`));
  return 1 + (new DataView(digest).getUint32(0) % most);
}

/** `2026-11-20`, in UTC. */
export function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}
