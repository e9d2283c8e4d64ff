/**
 * A bundle that carries its source map in itself, with the text of its sources: where HEARTH_INSPECT lets a debugger stop
 * in functions, that is what it finds the lines of the source by.
 */
import { pathToFileURL } from 'node:url';
import { carriedMap } from '../../functions/build/carried-map.ts';
import type { Tree } from '../../functions/build/tree.ts';

interface SourceMapJson {
  sources: string[];
  sourcesContent?: (string | null)[];
}

export function withInlineMap(code: Uint8Array, sourceMap: Uint8Array | null, files: Tree): Uint8Array {
  if (sourceMap === null) return code;
  const map = JSON.parse(Buffer.from(sourceMap).toString()) as SourceMapJson;
  const carried = contentsCarried(files);
  const content = (source: string) => {
    const file = files.get(source);
    return file === undefined ? (carried.get(source) ?? null) : Buffer.from(file).toString();
  };
  const whole = {
    ...map,
    // A whole path is one on the author's machine, where the debugger finds the file by it.
    sources: map.sources.map((source) => (source.startsWith('/') ? pathToFileURL(source).href : source)),
    sourcesContent: map.sources.map(content),
  };
  const inline = Buffer.from(JSON.stringify(whole)).toString('base64');
  return Buffer.concat([code, Buffer.from(`\n//# sourceMappingURL=data:application/json;base64,${inline}\n`)]);
}

/** Source → text, of the maps that uploaded bundles carry. One that is none is passed over, as the builder does. */
function contentsCarried(files: Tree): Map<string, string> {
  const contents = new Map<string, string>();
  for (const bytes of files.values()) {
    const inline = carriedMap(Buffer.from(bytes).toString('latin1'));
    if (inline === undefined) continue;
    const map = parsed(Buffer.from(inline, 'base64').toString());
    map?.sources?.forEach((source, at) => {
      const text = map.sourcesContent?.[at];
      if (typeof text === 'string') contents.set(source, text);
    });
  }
  return contents;
}

function parsed(text: string): Partial<SourceMapJson> | null {
  try {
    return JSON.parse(text) as Partial<SourceMapJson> | null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
