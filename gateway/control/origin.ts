/** From a stack as a base saw it to the place in the author's source, by the source map of the build. */
import { SourceMap } from 'node:module';
import type { SourceError } from '../../functions/contract/errors.ts';

/** Frames of the module read `NAME.js:LINE:COLUMN`, whatever stands around it. */
const FRAME = /[( ]([a-z][a-z0-9-]*)\.js:(\d+):(\d+)\)?$/;

/**
 * The first place of the function's own source in this stack; null when there is none, as when a library threw with no
 * caller of the author's. Lines and columns count from 1.
 */
export function originOf(stack: string, functionName: string, sourceMap: Uint8Array | null): SourceError | null {
  if (sourceMap === null) return null;
  const map = new SourceMap(JSON.parse(Buffer.from(sourceMap).toString('utf8')));
  const [first = ''] = stack.split('\n');
  for (const line of stack.split('\n')) {
    const frame = FRAME.exec(line.trimEnd());
    if (frame === null || frame[1] !== functionName) continue;
    const origin = map.findOrigin(Number(frame[2]), Number(frame[3]));
    if (!('fileName' in origin) || origin.fileName === undefined) continue;
    if (origin.fileName.includes('node_modules/')) continue;
    return { message: first, file: origin.fileName, line: origin.lineNumber, column: origin.columnNumber };
  }
  return null;
}
