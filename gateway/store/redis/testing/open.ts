/** A store on a redis-server of tests, and a log that can be waited for. */
import type { Store } from '../../store.ts';
import { openRedisStore, type RedisStoreOptions } from '../client.ts';
import type { Target } from '../connection.ts';
import { readRedisUrl } from '../target.ts';

export interface TestLog {
  lines: string[];
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
  /** Resolves once such a line is there, counted from the given one on. */
  said(what: RegExp, from?: number): Promise<void>;
}

export function testLog(): TestLog {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const take = (message: string) => {
    lines.push(message);
    for (const look of waiting) look();
  };
  return {
    lines,
    info: take,
    warn: take,
    error: take,
    said: (what, from = 0) =>
      new Promise((resolve) => {
        const look = () => {
          if (!lines.slice(from).some((line) => what.test(line))) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}

export function targetOf(url: string): Target {
  const target = readRedisUrl(url);
  if (target === undefined) throw new Error(`not understood: ${url}`);
  return target;
}

export interface TestStore extends AsyncDisposable {
  store: Store;
  log: TestLog;
  isNew: boolean;
}

export async function openOn(
  { url }: { url: string },
  more: Pick<RedisStoreOptions, 'keyProof'> = {},
): Promise<TestStore> {
  const log = testLog();
  const { store, isNew } = await openRedisStore({ target: targetOf(url), log, ...more });
  return { store, log, isNew, [Symbol.asyncDispose]: () => store.close() };
}
