/**
 * Fires crons: keeps what is published in the store (following.ts), sleeps until the next one is due, claims each due time
 * before it is run (ticks.ts), and records how that ended (own-runs.ts, runs.ts). What to do when is decided in plan.ts.
 *
 * Every gateway on a store plans all crons; the claim decides whose a due time is. At least once: a run that had not ended
 * when its gateway did is run again with the same invocation id, by its next life or by another gateway.
 */
import { HearthError } from '../../../functions/contract/errors.ts';
import type { Keeper } from '../../../pool/keeper/api.ts';
import type { Registry } from '../../registry/registry.ts';
import type { ChangeFeed } from '../../store/api/changes.ts';
import type { CronRecord, CronStore } from '../../store/api/crons.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { Dispatcher } from '../dispatcher.ts';
import type { Timers } from '../timers.ts';
import { type CronsState, type Entry, scheduleOf } from './entry.ts';
import { createFollowing } from './following.ts';
import { createOwnRuns } from './own-runs.ts';
import { createCronRuns } from './runs.ts';
import { createTicks } from './ticks.ts';
import { byFunction, type CronView, viewOf } from './view.ts';

export interface Crons {
  /** Takes over what the store has, runs again what was cut off, then fires until `drain`. */
  start(): Promise<void>;
  /** By function, then expression; as the store has them, so with what other gateways ran. */
  list(): Promise<CronView[]>;
  /** Ticks that pass while it is paused are not made up for. Throws NOT_FOUND. */
  setPaused(id: string, paused: boolean): Promise<CronView>;
  /** Fires no more; resolves when the runs in flight have ended and are recorded. */
  drain(): Promise<void>;
}

export interface CronParts {
  store: CronStore;
  changes: Pick<ChangeFeed, 'listen'>;
  /**
   * Whose runs they are: of one life of a gateway. On a store that only one process can have, all its lives are one owner,
   * so that each takes back at once what the one before left.
   */
  owner: string;
  registry: Registry;
  dispatcher: Pick<Dispatcher, 'call'>;
  /** Told some seconds before each tick. */
  keeper: Pick<Keeper, 'prewarm'>;
  /** Epoch ms. */
  now(): number;
  timers: Timers;
  newId(): string;
  log: Logger;
}

export function createCrons(parts: CronParts): Crons {
  const { store, changes, registry, now, log } = parts;
  const entries = new Map<string, Entry>();
  const inFlight = new Set<Promise<void>>();
  let state: CronsState = 'idle';
  let unlisten: () => void = () => undefined;

  const shared = { ...parts, entries, state: () => state, track };
  const runs = createCronRuns({ ...parts, known: (id) => entries.has(id) });
  const ticks = createTicks({
    ...shared,
    begin: (entry, run, leaseUntil) => own.begin(entry, run, leaseUntil),
    gone: (name) => track('sync', following.follow(name)),
  });
  const following = createFollowing({ ...shared, arm: ticks.arm, wakeSoon: ticks.wakeSoon });
  const own = createOwnRuns({ ...shared, runs, wakeSoon: ticks.wakeSoon, reload: () => following.reload(null) });

  /** Starts something whose failure has no one else to tell. */
  function track(what: string, work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => log.error(`Crons: ${what} failed.`, { error }))
      .finally(() => inFlight.delete(tracked));
    inFlight.add(tracked);
  }

  function onChanges(list: { kind: string; name: string }[] | null): void {
    const names = list === null ? null : new Set(list.filter(({ kind }) => kind === 'cron').map(({ name }) => name));
    if (state === 'firing' && names?.size !== 0) track('reload', following.reload(names));
  }

  async function recordOf(id: string): Promise<CronRecord> {
    const functionName = entries.get(id)?.record.functionName;
    const record = (await store.list(functionName)).find((cron) => cron.id === id);
    if (record === undefined) throw new HearthError('NOT_FOUND', `There is no cron "${id}".`);
    return record;
  }

  return {
    async start() {
      const names = await following.load();
      // From here on, so that no deploy falls between.
      const unlistenRegistry = registry.onChange((name) => {
        track('sync', following.follow(name));
      });
      const unlistenStore = changes.listen(onChanges);
      unlisten = () => {
        unlistenRegistry();
        unlistenStore();
      };
      for (const { record } of registry.functions()) if (registry.crons(record.name).length > 0) names.add(record.name);
      await Promise.all([...names].map((name) => following.follow(name)));
      await own.takeOver(true);
      state = 'firing';
      own.beatLater();
      ticks.wake();
    },
    async list() {
      return (await store.list()).map((record) => viewOf(record, entries.get(record.id)?.cron)).sort(byFunction);
    },
    async setPaused(id, paused) {
      const record = await recordOf(id);
      const entry = entries.get(id);
      if (record.paused !== paused) {
        const schedule = scheduleOf(entry, record.expression, record.timezone);
        const nextAt = paused ? null : schedule.next(Math.max(now(), record.firedUntil));
        if (!(await store.setPaused(id, paused, nextAt))) {
          throw new HearthError('NOT_FOUND', `There is no cron "${id}".`);
        }
        Object.assign(record, { paused, nextAt });
        if (entry !== undefined) {
          Object.assign(entry.record, { paused, nextAt });
          Object.assign(entry.progress, { held: false, caughtUp: 0 });
        }
        ticks.arm();
      }
      return viewOf(record, entry?.cron);
    },
    async drain() {
      state = 'drained';
      unlisten();
      ticks.disarm();
      runs.drain();
      while (inFlight.size > 0) await Promise.all(inFlight);
      own.stopBeat();
    },
  };
}
