/**
 * `__dirname`, `__filename` and `import.meta.url/dirname/filename` of each source file, in one bundle. esbuild replaces
 * them, where they are free, by names of ours; a file that mentions them gets a line that gives these names its own
 * place below the directory of the function's files.
 */

/** For esbuild's `define`. */
export const PLACE_DEFINES: Readonly<Record<string, string>> = {
  __dirname: '__hearth_dirname',
  __filename: '__hearth_filename',
  'import.meta.dirname': '__hearth_dirname',
  'import.meta.filename': '__hearth_filename',
  'import.meta.url': '__hearth_url',
};

/** First line of a bundle. In an ES module the base says through a symbol where the files stand. */
export const PLACE_BANNER = {
  cjs: 'const __hearth_root = __dirname === "/" ? "" : __dirname;',
  esm: 'const __hearth_root = globalThis[Symbol.for("hearth.dirname")] ?? "";',
} as const;

/** Text put into a file, so that columns of errors can be given as the author counts them. */
export interface Insertion {
  /** From 1. */
  line: number;
  /** In bytes, from 0. */
  column: number;
  bytes: number;
}

export interface Placed {
  contents: string;
  insertion: Insertion;
}

/** Undefined when the file mentions none of these names. */
export function place(path: string, bytes: Uint8Array): Placed | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!view.includes('__dirname') && !view.includes('__filename') && !view.includes('import.meta')) return undefined;
  const source = view.toString();
  const slash = path.lastIndexOf('/');
  const directory = slash === -1 ? '' : `/${path.slice(0, slash)}`;
  const names = [
    `__hearth_dirname=${slash === -1 ? '__hearth_root||"/"' : `__hearth_root+${JSON.stringify(directory)}`}`,
    `__hearth_filename=__hearth_root+${JSON.stringify(`/${path}`)}`,
    '__hearth_url="file://"+encodeURI(__hearth_filename).replace(/[?#]/g,encodeURIComponent)',
  ];
  const text = `;var ${names.join(',')};`;
  const at = endOfPrologue(source);
  const before = source.slice(0, at);
  const lineStart = before.lastIndexOf('\n') + 1;
  return {
    contents: before + text + source.slice(at),
    insertion: {
      line: before.split('\n').length,
      column: Buffer.byteLength(before.slice(lineStart)),
      bytes: Buffer.byteLength(text),
    },
  };
}

/** Behind byte order mark, hashbang, comments and a `'use strict'`, which is one only where it comes first. */
function endOfPrologue(source: string): number {
  let at = source.startsWith('\uFEFF') ? 1 : 0;
  if (source.startsWith('#!', at)) at = lineEnd(source, at);
  for (;;) {
    if (source.startsWith('//', at)) at = lineEnd(source, at);
    else if (source.startsWith('/*', at)) {
      const end = source.indexOf('*/', at + 2);
      if (end === -1) return at;
      at = end + 2;
    } else if (/\s/.test(source.charAt(at))) at += 1;
    else break;
  }
  const directive = source.slice(at, at + 12);
  return directive === "'use strict'" || directive === '"use strict"' ? at + 12 : at;
}

function lineEnd(source: string, from: number): number {
  const end = source.indexOf('\n', from);
  return end === -1 ? source.length : end;
}
