/**
 * Runs of crons, from the claim to the end that the store has taken. A run is this gateway's as long as it lengthens its
 * lease; one that was taken over meanwhile is given up here, and its end is refused by the store.
 */
import { HearthError, toHearthError } from '../../../functions/contract/errors.ts';
import type { Registry } from '../../registry/registry.ts';
import type { CronEnd, CronStore } from '../../store/api/crons.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { Dispatcher } from '../dispatcher.ts';
import { servedBy } from '../served-by.ts';
import type { Timers } from '../timers.ts';
import { retryDelayMs } from './plan.ts';

/** From the claim, and from each time it is lengthened. */
export const LEASE_MS = 10_000;
/** Until the store is asked again after it failed. */
export const STORE_RETRY_MS = 5_000;
/** Ends told to the store at once. */
const MOST_ENDS = 500;

export interface CronRun {
  /** Of the cron. */
  id: string;
  functionName: string;
  /** As written. */
  cron: string;
  dueAt: number;
  invocationId: string;
  /** 2 and more: another gateway, or another life of this one, has begun it before. */
  attempt: number;
}

export interface CronRunsParts {
  store: Pick<CronStore, 'extend' | 'finish'>;
  owner: string;
  registry: Pick<Registry, 'function'>;
  dispatcher: Pick<Dispatcher, 'call'>;
  /** Whether there still is a cron of this id: the run of one that is gone goes on, though nobody keeps a lease of it. */
  known(id: string): boolean;
  /** Epoch ms. */
  now(): number;
  timers: Timers;
  log: Logger;
}

export interface CronRuns {
  /** Resolves when it has ended and that is stored: with the end, or null when it was left to whoever runs it next. */
  run(run: CronRun, leaseUntil: number): Promise<CronEnd | null>;
  /** Lengthens the leases, and gives up what another has taken. Throws NO_CAPACITY. */
  renew(): Promise<void>;
  readonly size: number;
  /** Nothing is tried again: what would have to be is left. */
  drain(): void;
}

interface Held {
  run: CronRun;
  leaseUntil: number;
  lost: AbortController;
  /** Its end is on its way to the store. */
  ending: boolean;
}

export function createCronRuns(parts: CronRunsParts): CronRuns {
  const { store, owner, registry, dispatcher, known, now, timers, log } = parts;
  const held = new Map<string, Held>();
  const ends: { end: CronEnd; stored: (accepted: boolean) => void }[] = [];
  let telling = false;
  const drained = new AbortController();

  async function renew(): Promise<void> {
    if (held.size === 0) return;
    const before = [...held.values()];
    const leaseUntil = now() + LEASE_MS;
    const mine = new Set(await store.extend(owner, leaseUntil));
    for (const each of before) {
      const { run, lost } = each;
      if (mine.has(run.invocationId)) each.leaseUntil = leaseUntil;
      else if (!each.ending && held.has(run.invocationId) && known(run.id)) {
        log.warn('A cron run is given up: its lease has ended, and another gateway has it.', factsOf(run));
        lost.abort(new HearthError('NO_CAPACITY', 'Another gateway has taken the run over.'));
      }
    }
  }

  /** After a stop past the end of the lease: whether it may go on. */
  async function stillMine(each: Held): Promise<boolean> {
    while (now() >= each.leaseUntil && !each.lost.signal.aborted) {
      try {
        await renew();
        // Of a cron that is gone there is no lease any more.
        if (!known(each.run.id)) break;
      } catch (error) {
        log.error('The lease of a cron run could not be lengthened; it is tried again.', { error });
        if (!(await pause(STORE_RETRY_MS))) return false;
      }
    }
    return !each.lost.signal.aborted;
  }

  /** Null when it went well. Tried again only where the function was not reached, or its base died. */
  async function attempts(each: Held): Promise<HearthError | 'left' | null> {
    for (let tries = 1; ; tries++) {
      if (!(await stillMine(each))) return 'left';
      const error = await attempt(each);
      if (each.lost.signal.aborted) return 'left';
      if (error === null) return null;
      const delayMs = NOT_REACHED.has(error.code) ? retryDelayMs(tries) : null;
      if (delayMs === null) return error;
      if (!(await pause(delayMs))) return 'left';
    }
  }

  async function attempt({ run, lost }: Held): Promise<HearthError | null> {
    const fn = registry.function(run.functionName);
    const version = fn === undefined ? undefined : servedBy(fn, 'scheduled');
    if (fn === undefined || version === undefined) {
      return new HearthError('NOT_FOUND', 'No version of the function is active.');
    }
    const head = { trigger: 'cron', cron: run.cron, scheduledTime: run.dueAt } as const;
    const options = { invocationId: run.invocationId, settled: true, signal: lost.signal };
    try {
      await dispatcher.call(fn, version, head, { traceparent: null, hops: 0 }, null, options);
      return null;
    } catch (thrown) {
      return toHearthError(thrown);
    }
  }

  /** False when the drain came first. */
  function pause(ms: number): Promise<boolean> {
    if (drained.signal.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const cancel = timers.after(ms, () => {
        drained.signal.removeEventListener('abort', onDrain);
        resolve(true);
      });
      const onDrain = () => {
        cancel();
        resolve(false);
      };
      drained.signal.addEventListener('abort', onDrain, { once: true });
    });
  }

  /** Many end at once: what comes while the store is told of some is told together. False when it is refused or lost. */
  function tell(end: CronEnd): Promise<boolean> {
    const stored = new Promise<boolean>((resolve) => {
      ends.push({ end, stored: resolve });
    });
    if (!telling) {
      telling = true;
      queueMicrotask(() => {
        tellAll().catch((error: unknown) => log.error('Ends of cron runs were not stored.', { error }));
      });
    }
    return stored;
  }

  async function tellAll(): Promise<void> {
    while (ends.length > 0) {
      const some = ends.splice(0, MOST_ENDS);
      try {
        const refused = new Set(
          await store.finish(
            some.map(({ end }) => end),
            owner,
          ),
        );
        for (const { end, stored } of some) stored(!refused.has(end.invocationId));
      } catch (error) {
        log.error('Ends of cron runs could not be stored; it is tried again.', { runs: some.length, error });
        ends.unshift(...some);
        if (await pause(STORE_RETRY_MS)) continue;
        for (const { stored } of ends.splice(0)) stored(false);
      }
    }
    telling = false;
  }

  return {
    async run(run, leaseUntil) {
      const each: Held = { run, leaseUntil, lost: new AbortController(), ending: false };
      held.set(run.invocationId, each);
      try {
        const outcome = await attempts(each);
        if (outcome === 'left') return null;
        const { id, invocationId } = run;
        const error = outcome?.message ?? null;
        const end = { id, invocationId, endedAt: now(), outcome: outcome === null ? 'ok' : 'error', error } as const;
        each.ending = true;
        if (await tell(end)) return end;
        if (known(id)) log.warn('The end of a cron run was not stored: another has it, or will.', factsOf(run));
        return null;
      } finally {
        held.delete(run.invocationId);
      }
    },
    renew,
    get size() {
      return held.size;
    },
    drain: () => drained.abort(),
  };
}

/** Codes with which a run is tried again: the function was not called, or not to its end through a fault that passes. */
const NOT_REACHED: ReadonlySet<string> = new Set(['OVERLOADED', 'NO_CAPACITY', 'FUNCTION_CRASHED']);

function factsOf({ id, functionName, invocationId, attempt }: CronRun): Record<string, unknown> {
  return { cron: id, function: functionName, invocation_id: invocationId, attempt };
}
