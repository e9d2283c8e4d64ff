/**
 * Constant load for tests: callers that ask again and again while something else happens, and remember every answer.
 *
 *     await using load = constantLoad(`${gateway.url}/shop`);
 *     await gateway.deploy('shop', …);
 *     await load.more();           // every caller has been answered since
 *     await load.stop();           // throws when one of the answers was no 200
 */
import assert from 'node:assert/strict';
import { setTimeout as wait } from 'node:timers/promises';

export interface LoadOptions {
  /** How many ask at once. */
  callers?: number;
  headers?: Record<string, string>;
}

export interface Failure {
  /** Null: no answer came at all. */
  status: number | null;
  text: string;
}

export interface Load extends AsyncDisposable {
  /** Texts of the answers with 200. */
  readonly seen: ReadonlySet<string>;
  readonly failures: readonly Failure[];
  /** Resolves when every caller has had an answer to what it asked after this call, good or bad; at once when it ended. */
  more(): Promise<void>;
  /** Forgets what was seen so far; failures stay. */
  forget(): void;
  /** Ends it and says how many calls there were. Throws when one was not answered with 200, or none was made. */
  stop(): Promise<number>;
  /** Ends it, whatever the answers were. */
  end(): Promise<void>;
}

/** Between two calls of one caller: the cores are for what is tried beside them too. */
const PACE_MS = 20;
/** Far longer than any test: one that was given up on must not be asked for ever. */
const LIMIT_MS = 300_000;

export function constantLoad(url: string | (() => string), { callers = 4, headers = {} }: LoadOptions = {}): Load {
  const seen = new Set<string>();
  const failures: Failure[] = [];
  const waiting = new Set<() => void>();
  const finished = Array.from({ length: callers }, () => 0);
  let calls = 0;
  let ended = false;
  const until = performance.now() + LIMIT_MS;
  const ask = async () => {
    try {
      const response = await fetch(typeof url === 'string' ? url : url(), { headers });
      const text = await response.text();
      if (response.status === 200) seen.add(text);
      else failures.push({ status: response.status, text });
    } catch (error) {
      failures.push({ status: null, text: String((error as Error).cause ?? error) });
    }
    calls++;
  };
  const caller = async (n: number) => {
    while (!ended && performance.now() < until) {
      await ask();
      finished[n] = (finished[n] ?? 0) + 1;
      for (const look of waiting) look();
      await wait(PACE_MS);
    }
    finished[n] = Number.POSITIVE_INFINITY;
    for (const look of waiting) look();
  };
  const all = Promise.all(Array.from({ length: callers }, (_, n) => caller(n)));
  const end = async () => {
    ended = true;
    await all;
  };
  return {
    seen,
    failures,
    more() {
      // The first of the two may have been asked before.
      const wanted = finished.map((count) => count + 2);
      return new Promise((resolve) => {
        const look = () => {
          if (finished.some((count, n) => count < (wanted[n] ?? 0))) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      });
    },
    forget: () => seen.clear(),
    end,
    async stop() {
      await end();
      assert.ok(calls > 0, 'nothing was asked');
      assert.deepEqual(failures.slice(0, 3), [], `${failures.length} of ${calls} calls failed`);
      return calls;
    },
    [Symbol.asyncDispose]: end,
  };
}
