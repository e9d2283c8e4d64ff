/**
 * The runs of this gateway: counted while they last, their leases lengthened by a beat. The same beat takes over what
 * another gateway has left, and now and then compares everything with the store.
 */
import type { CronParts } from './crons.ts';
import type { CronsState, Entry } from './entry.ts';
import { type CronRun, type CronRuns, LEASE_MS } from './runs.ts';

export interface OwnRunsParts extends Pick<CronParts, 'store' | 'owner' | 'now' | 'timers' | 'log'> {
  entries: ReadonlyMap<string, Entry>;
  runs: CronRuns;
  state(): CronsState;
  /** Starts something whose failure has no one else to tell. */
  track(what: string, work: Promise<void>): void;
  wakeSoon(): void;
  /** All crons, from the store. */
  reload(): Promise<void>;
}

export interface OwnRuns {
  begin(entry: Entry, run: CronRun, leaseUntil: number): void;
  /** Runs again what was cut off: what this gateway left in an earlier life (`mine`), or what nobody has a lease of. */
  takeOver(mine: boolean): Promise<void>;
  /** Beats until nothing fires and nothing runs. */
  beatLater(): void;
  stopBeat(): void;
}

/** Leases are lengthened, and those of others looked through, so often. */
export const BEAT_MS = 3_000;
/** Beats between two full comparisons with the store, which mend what a notice that never came would have told. */
const BEATS_A_RELOAD = 20;

export function createOwnRuns(parts: OwnRunsParts): OwnRuns {
  const { store, owner, now, timers, log, entries, runs, state, track, wakeSoon, reload } = parts;
  let stopBeat: () => void = () => undefined;
  let beats = 0;

  function begin(entry: Entry, run: CronRun, leaseUntil: number): void {
    entry.progress.running += 1;
    track(`run of ${run.id}`, toEnd(entry, run, leaseUntil));
  }

  async function toEnd({ record, progress }: Entry, run: CronRun, leaseUntil: number): Promise<void> {
    try {
      const end = await runs.run(run, leaseUntil);
      if (end !== null && record.last?.invocationId === run.invocationId) {
        record.last = { ...record.last, endedAt: end.endedAt, outcome: end.outcome, error: end.error };
      }
    } finally {
      progress.running -= 1;
    }
    wakeSoon();
  }

  async function takeOver(mine: boolean): Promise<void> {
    const leaseUntil = now() + LEASE_MS;
    for (const { id, dueAt, invocationId, attempt } of await store.takeOver(owner, now(), leaseUntil, mine)) {
      const entry = entries.get(id);
      const facts = { cron: id, invocation_id: invocationId, attempt };
      if (entry === undefined) {
        log.info('A cron run that was cut off is not run again: it was taken back.', facts);
        await store.finish(
          [{ id, invocationId, endedAt: now(), outcome: 'error', error: 'Cut off, and then it was taken back.' }],
          owner,
        );
        continue;
      }
      log.info('A cron run that was cut off is run again.', { ...facts, function: entry.record.functionName });
      const { functionName } = entry.record;
      begin(entry, { id, functionName, cron: entry.cron, dueAt, invocationId, attempt }, leaseUntil);
    }
  }

  function beatLater(): void {
    const from = now();
    stopBeat = timers.after(BEAT_MS, () => {
      // Set by more than a lease, or this process stood still: others' leases only look as if they had ended, until they
      // have had the time to be lengthened.
      const stepped = Math.abs(now() - from - BEAT_MS) > LEASE_MS / 2;
      track('beat', beat(stepped));
    });
  }

  async function beat(stepped: boolean): Promise<void> {
    try {
      await runs.renew();
      if (state() === 'firing' && entries.size > 0) {
        if (!stepped) await takeOver(false);
        beats += 1;
        if (beats % BEATS_A_RELOAD === 0) await reload();
      }
    } finally {
      if (stepped) {
        for (const entry of entries.values()) entry.lookAt = null;
        wakeSoon();
      }
      if (state() === 'firing' || runs.size > 0) beatLater();
    }
  }

  return { begin, takeOver, beatLater, stopBeat: () => stopBeat() };
}
