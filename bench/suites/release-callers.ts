/** Callers that go on calling, and what they see when. */
import { scheduler } from 'node:timers/promises';
import { Connection } from '../load/connection.ts';

export interface Seen {
  status: number;
  body: string;
}

export interface Callers extends AsyncDisposable {
  /** When the next answer of this kind came, on the clock of performance.now(). Rejects when none comes. */
  next(wanted: (seen: Seen) => boolean): Promise<number>;
  /** From now on; gives the moment at which the last answer of this kind came. Throws when there was none. */
  last(wanted: (seen: Seen) => boolean): () => number;
  /** While `work` runs, answers of this kind are no failures. */
  allowing(allowed: (seen: Seen) => boolean, work: () => Promise<void>): Promise<void>;
  told(): { callers: number; calls: number; failed: number };
}

/** Far above what anything takes that is waited for. */
const WAIT_LIMIT_MS = 30_000;
/** Between two calls of one caller: what is measured is to be the release, not a machine at its limit. */
const REST_MS = 2;

export async function startCallers(port: number, path: string, count: number): Promise<Callers> {
  const listeners = new Set<(seen: Seen, at: number) => void>();
  let allowed: (seen: Seen) => boolean = () => false;
  let running = true;
  let calls = 0;
  let failed = 0;
  /** Calls of each caller that are over. */
  const over = new Array<number>(count).fill(0);
  const open = () => new Connection(port, { keepBody: true }).opened();
  const connections = await Promise.all(Array.from({ length: count }, open));

  async function callAgain(opened: Connection, caller: number): Promise<void> {
    let connection = opened;
    while (running) {
      const { status, body, headers } = await connection.get(path);
      if (headers.get('connection') === 'close') {
        connection.close();
        connection = await open();
        connections[caller] = connection;
      }
      const seen = { status, body };
      calls += 1;
      over[caller] = (over[caller] ?? 0) + 1;
      if (status !== 200 && !allowed(seen)) failed += 1;
      const at = performance.now();
      for (const listener of [...listeners]) listener(seen, at);
      await scheduler.wait(REST_MS);
    }
  }
  const loops = Promise.all(connections.map(callAgain));
  // Whoever waits for an answer hears of it; and so does whoever ends it.
  loops.catch(() => undefined);

  const next: Callers['next'] = (wanted) => {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const late = setTimeout(() => reject(new Error('an answer was waited for in vain')), WAIT_LIMIT_MS);
    const listener = (seen: Seen, at: number) => {
      if (wanted(seen)) resolve(at);
    };
    listeners.add(listener);
    loops.then(() => reject(new Error('the callers have stopped')), reject);
    return promise.finally(() => {
      clearTimeout(late);
      listeners.delete(listener);
    });
  };

  return {
    next,
    last(wanted) {
      let last: number | null = null;
      const listener = (seen: Seen, at: number) => {
        if (wanted(seen)) last = at;
      };
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
        if (last === null) throw new Error('no such answer has come');
        return last;
      };
    },
    async allowing(kind, work) {
      const before = allowed;
      allowed = kind;
      try {
        await work();
        // Each caller's call that was under way when it ended.
        const then = [...over];
        await next(() => over.every((calls, caller) => calls > (then[caller] ?? 0)));
      } finally {
        allowed = before;
      }
    },
    told: () => ({ callers: count, calls, failed }),
    async [Symbol.asyncDispose]() {
      running = false;
      await loops.catch(() => undefined);
      for (const connection of connections) connection.close();
    },
  };
}
