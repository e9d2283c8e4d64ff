/** What a command prints: one JSON document for a script, tables and lines for a person. */

/** Columns as wide as their widest cell; nothing behind the last. */
export function table(head: readonly string[], rows: readonly (readonly Cell[])[], empty = 'none'): string {
  if (rows.length === 0) return empty;
  const lines = [head, ...rows.map((row) => row.map(cellText))];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Names on the left, values beside them. */
export function facts(pairs: readonly (readonly [string, Cell])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${cellText(value)}`.trimEnd()).join('\n');
}

export type Cell = string | number | boolean | null | undefined | readonly string[];

function cellText(cell: Cell): string {
  if (cell === null || cell === undefined || cell === '') return '-';
  if (typeof cell === 'boolean') return cell ? 'yes' : 'no';
  if (typeof cell === 'object') return cell.length === 0 ? '-' : plain(cell.join(', '));
  return plain(String(cell)).replaceAll('\n', '\\n');
}

/**
 * Text of somebody else's for a terminal: what functions log and who names what is not to move the cursor, set the
 * clipboard or hide a line. Tabs and ends of lines stay, all other control characters are shown as `\xNN`.
 */
export function plain(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}

/** As `plain`, of text whose colours (those of `cli.paint`) stay: the last thing before a terminal, whoever made the text. */
export function coloured(text: string): string {
  return text
    .split(COLOUR)
    .map((part, at) => (at % 2 === 1 ? part : plain(part)))
    .join('');
}

/** Bold, dim and the plain colours, and their ends: nothing that hides. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is what is looked for
const COLOUR = /(\u001b\[(?:1|2|22|3[0-79]|9[0-7])m)/;

/** JSON that says the same: of control characters it only has to escape some. */
export function plainJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(/[\u007f-\u009f]/g, (character) => {
    return `\\u00${character.charCodeAt(0).toString(16)}`;
  });
}

export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  return count < 1_000_000 ? `${(count / 1000).toFixed(1)} kB` : `${(count / 1_000_000).toFixed(1)} MB`;
}

export function ms(value: number): string {
  return `${Math.round(value * 100) / 100} ms`;
}

/** An ISO time to the second, as people write it. */
export function time(iso: string | null | undefined): string | null {
  return iso === null || iso === undefined ? null : iso.replace('T', ' ').replace(/\.\d+Z$/, 'Z');
}

/** As the API takes them: ids are long, and eight characters name one. */
export function short(version: string | null): string {
  return version === null ? '-' : version.slice(0, 12);
}
