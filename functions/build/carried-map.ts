/** The source map that a file carries in its last line, as bundlers write it; base64 of JSON. Undefined: it has none. */
export function carriedMap(text: string): string | undefined {
  const comment = /\/\/# sourceMappingURL=data:application\/json;(?:charset=[\w-]+;)?base64,([A-Za-z0-9+/]+=*)\s*$/;
  return comment.exec(text)?.[1];
}
