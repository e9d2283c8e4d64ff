/** Characters that nobody sees, or that change how others are read. */

/** Controls, format characters (bidi overrides, joiners, tags), line separators, lone surrogates, and fillers that look like nothing. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\u115f\u1160\u3164\uffa0]/gu;

/**
 * Splits text into what is shown as it is and characters that are shown by their code. Line ends and tabs stay.
 *
 * @param {string} text
 * @returns {{ text: string, code: boolean }[]}
 */
export function pieces(text) {
  /** @type {{ text: string, code: boolean }[]} */
  const found = [];
  let from = 0;
  for (const { 0: character, index } of text.matchAll(UNSEEN)) {
    if (character === '\n' || character === '\t') continue;
    if (index > from) found.push({ text: text.slice(from, index), code: false });
    found.push({ text: codeOf(character), code: true });
    from = index + character.length;
  }
  if (from < text.length) found.push({ text: text.slice(from), code: false });
  return found;
}

/** @param {string} character */
function codeOf(character) {
  const point = character.codePointAt(0) ?? 0;
  const hex = point.toString(16);
  if (point < 0x100) return `\\x${hex.padStart(2, '0')}`;
  return point < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\u{${hex}}`;
}

/**
 * For attributes and titles.
 *
 * @param {unknown} value
 */
export function plain(value) {
  return pieces(String(value))
    .map(({ text }) => text)
    .join('');
}
