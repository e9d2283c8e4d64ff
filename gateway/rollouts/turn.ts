/** Changes of one rollout go one after another. */
import type { Live } from './live.ts';

/** Runs alone among the changes of this rollout. */
export function inTurn<Result>(live: Live, work: () => Promise<Result>): Promise<Result> {
  const done = live.turn.then(async () => {
    live.busy = true;
    try {
      return await work();
    } finally {
      live.busy = false;
    }
  });
  live.turn = done.then(
    () => undefined,
    () => undefined,
  );
  return done;
}
