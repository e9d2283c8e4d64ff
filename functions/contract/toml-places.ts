/** Where in a TOML file a key stands. The parser says so for syntax errors only. */

export interface Place {
  line: number;
  column: number;
}

const KEY = /"(?:[^"\\]|\\.)*"|'[^']*'|[\w-]+/g;
const KEY_VALUE = /^(\s*)((?:"(?:[^"\\]|\\.)*"|'[^']*'|[\w-]+|[ \t.])+?)(\s*=\s*)/;
const HEADER = /^(\s*\[\[?\s*)(.+?)\s*\]\]?\s*(?:#.*)?$/;
const STRING_OR_COMMENT = /"(?:[^"\\]|\\.)*"|'[^']*'|#.*/g;

/**
 * Reads a file that has been parsed already, line by line. Counts from 1. What stands inside an array or inline table
 * has the place of the key it belongs to.
 */
export function tomlPlaces(text: string): (path: readonly (string | number)[], atKey: boolean) => Place {
  const places = new Map<string, { key: Place; value: Place }>();
  /** Next index of each array of tables. */
  const counts = new Map<string, number>();
  let table: (string | number)[] = [];
  let depth = 0;
  let stringEnd: string | null = null;

  /** Keys as a path: below an array of tables, its last table is meant. */
  function below(start: readonly (string | number)[], keys: readonly string[]): (string | number)[] {
    const path = [...start];
    for (const key of keys) {
      path.push(key);
      const count = counts.get(JSON.stringify(path));
      if (count !== undefined) path.push(count - 1);
    }
    return path;
  }

  text.split('\n').forEach((line, index) => {
    const at = (offset: number): Place => ({ line: index + 1, column: offset + 1 });
    if (stringEnd !== null) {
      if (line.includes(stringEnd)) stringEnd = null;
      return;
    }
    const keyValue = depth === 0 ? KEY_VALUE.exec(line) : null;
    const header = depth === 0 && keyValue === null ? HEADER.exec(line.trimEnd()) : null;
    if (header !== null) {
      const [, open = '', name = ''] = header;
      const keys = keysOf(name);
      if (open.includes('[[')) {
        const list = [...below([], keys.slice(0, -1)), keys.at(-1) ?? ''];
        const count = counts.get(JSON.stringify(list)) ?? 0;
        counts.set(JSON.stringify(list), count + 1);
        if (count === 0) places.set(JSON.stringify(list), { key: at(open.length), value: at(open.length) });
      }
      table = below([], keys);
      places.set(JSON.stringify(table), { key: at(open.length), value: at(open.length) });
      return;
    }
    if (keyValue !== null) {
      const [all, indent = '', name = ''] = keyValue;
      places.set(JSON.stringify(below(table, keysOf(name))), { key: at(indent.length), value: at(all.length) });
    }
    const value = line.slice(keyValue?.[0].length ?? 0);
    const long = /"""|'''/.exec(value);
    if (long !== null) {
      if (!value.slice(long.index + 3).includes(long[0])) stringEnd = long[0];
      return;
    }
    for (const mark of value.replaceAll(STRING_OR_COMMENT, '')) {
      if (mark === '[' || mark === '{') depth += 1;
      if (mark === ']' || mark === '}') depth -= 1;
    }
  });

  return (path, atKey) => {
    for (let length = path.length; length > 0; length -= 1) {
      const found = places.get(JSON.stringify(path.slice(0, length)));
      if (found !== undefined) return atKey && length === path.length ? found.key : found.value;
    }
    return { line: 1, column: 1 };
  };
}

function keysOf(name: string): string[] {
  return [...name.matchAll(KEY)].map(([key]) => (/^["']/.test(key) ? key.slice(1, -1) : key));
}
