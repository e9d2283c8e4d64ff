/** Callers that go on calling while something is changed behind them. */
import { scheduler } from 'node:timers/promises';

export interface Load {
  /** Answers so far: `function version status` → how many. */
  readonly seen: ReadonlyMap<string, number>;
  /** Calls that got no answer. */
  readonly lost: readonly unknown[];
  /** Forgets what was seen; calls that are under way are not counted. */
  restart(): void;
  stop(): Promise<void>;
}

/** `callers` of each function, one call after another with a short rest. */
export function startLoad(url: string, functions: readonly string[], callers: number): Load {
  let running = true;
  let round = 0;
  const seen = new Map<string, number>();
  const lost: unknown[] = [];

  async function callAgain(name: string): Promise<void> {
    while (running) {
      const begunIn = round;
      try {
        const answer = await fetch(`${url}/${name}`);
        await answer.arrayBuffer();
        const key = `${name} ${answer.headers.get('hearth-version')} ${answer.status}`;
        if (begunIn === round) seen.set(key, (seen.get(key) ?? 0) + 1);
      } catch (error) {
        lost.push(error);
      }
      await scheduler.wait(2);
    }
  }

  const loops = functions.flatMap((name) => Array.from({ length: callers }, () => callAgain(name)));
  return {
    seen,
    lost,
    restart() {
      round += 1;
      seen.clear();
    },
    async stop() {
      running = false;
      await Promise.all(loops);
    },
  };
}
