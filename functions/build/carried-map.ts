/** The source map that a file carries in its last line, as bundlers write it; base64 of JSON. Undefined: it has none. */
export function carriedMap(text: string): string | undefined {
  return /\n\/\/# sourceMappingURL=data:application\/json;base64,([A-Za-z0-9+/]+=*)\s*$/.exec(text)?.[1];
}
