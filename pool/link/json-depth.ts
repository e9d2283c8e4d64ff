/**
 * How deep a JSON text goes. Writing a value costs the square of its depth in V8, which looks for cycles on the way: thirty
 * megabytes of brackets, read and written once, hold a loop for minutes. So what strangers send is looked at before it
 * is read.
 */

/** Levels of arrays and objects in each other. */
export const MAX_JSON_DEPTH = 1000;
/** A text that is shorter cannot go deep enough to cost a millisecond, and most are. */
const HARMLESS_CHARS = 16 * 1024;

/** Whether it goes deeper than MAX_JSON_DEPTH. For texts under 16 KB always false. */
export function isTooDeep(json: string): boolean {
  if (json.length < HARMLESS_CHARS) return false;
  let depth = 0;
  for (let i = 0; i < json.length; i++) {
    switch (json.charCodeAt(i)) {
      case QUOTE:
        i = endOfString(json, i);
        break;
      case BRACKET:
      case BRACE:
        if (++depth > MAX_JSON_DEPTH) return true;
        break;
      case BRACKET_END:
      case BRACE_END:
        depth--;
        break;
    }
  }
  return false;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const BRACKET = 0x5b;
const BRACKET_END = 0x5d;
const BRACE = 0x7b;
const BRACE_END = 0x7d;

/** Where the quote stands that ends the string begun at `start`; of one that does not end the last character. */
function endOfString(json: string, start: number): number {
  let end = json.indexOf('"', start + 1);
  while (end !== -1 && isEscaped(json, end)) end = json.indexOf('"', end + 1);
  return end === -1 ? json.length : end;
}

/** By an odd number of backslashes. */
function isEscaped(json: string, at: number): boolean {
  let before = at;
  while (json.charCodeAt(before - 1) === BACKSLASH) before--;
  return (at - before) % 2 === 1;
}
