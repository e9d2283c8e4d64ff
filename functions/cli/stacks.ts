/** Stacks as bases log them, told by the places of the sources: `shop.js:41:9` becomes `src/orders.ts:12:5`. */
import { SourceMap } from 'node:module';
import { type Client, segment } from './client.ts';
import { ApiFailure } from './failure.ts';

export interface Stacks {
  /**
   * The text with each place of the bundle replaced; as it is where the version has no map, or is gone. `named` says how
   * a source is shown; by default as the map has it, by its path in the project.
   */
  mapped(functionName: string, version: string, text: string, named?: (source: string) => string): Promise<string>;
}

/** Versions whose maps are kept: whoever follows a log sees one or two of them. */
const MOST_MAPS = 8;

/** From the first frame of the base on, which called the function: the author's code stands above it. */
const BELOW = /\n {4}at [^\n]*\/base\/base\.js:\d+:\d+\)?(\n {4}at [^\n]*)*/g;

/** Maps are fetched when a text first needs them. */
export function createStacks(client: Pick<Client, 'text'>): Stacks {
  const maps = new Map<string, Promise<SourceMap | null>>();

  function mapOf(functionName: string, version: string): Promise<SourceMap | null> {
    const key = `${functionName}@${version}`;
    const kept = maps.get(key) ?? fetchMap(client, functionName, version);
    // The one used last goes last.
    maps.delete(key);
    maps.set(key, kept);
    for (const oldest of maps.keys()) {
      if (maps.size <= MOST_MAPS) break;
      maps.delete(oldest);
    }
    return kept;
  }

  return {
    async mapped(functionName, version, text, named = (source) => source) {
      // As the base names code: by its function, which has no character that means something in a pattern.
      const frames = new RegExp(`(?<=^|[ (])${functionName}\\.js:(\\d+):(\\d+)`, 'gm');
      if (!frames.test(text)) return text;
      const map = await mapOf(functionName, version);
      if (map === null) return text;
      return text.replace(BELOW, '').replaceAll(frames, (place, line: string, column: string) => {
        const origin = map.findOrigin(Number(line), Number(column));
        if (!('fileName' in origin) || origin.fileName === undefined) return place;
        return `${named(origin.fileName)}:${origin.lineNumber}:${origin.columnNumber}`;
      });
    },
  };
}

/** Null when the version has none, or it is not for this token. */
export async function fetchMap(
  client: Pick<Client, 'text'>,
  functionName: string,
  version: string,
): Promise<SourceMap | null> {
  const path = `/v1/functions/${segment(functionName)}/versions/${segment(version)}/source-map`;
  try {
    return new SourceMap(JSON.parse(await client.text(path)));
  } catch (error) {
    if (error instanceof ApiFailure && ['NOT_FOUND', 'FORBIDDEN'].includes(error.problem.code)) return null;
    throw error;
  }
}
