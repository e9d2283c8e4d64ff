/** Which crons there are: as functions publish them, and as the store has them when another gateway has changed one. */
import type { CronRecord } from '../../store/api/crons.ts';
import type { CronParts } from './crons.ts';
import { type CronsState, type Entry, newEntry, scheduleOf } from './entry.ts';
import { cronId, wantedCrons } from './plan.ts';
import { STORE_RETRY_MS } from './runs.ts';

export interface FollowingParts extends Pick<CronParts, 'store' | 'registry' | 'now' | 'timers' | 'log'> {
  /** Kept here. */
  entries: Map<string, Entry>;
  state(): CronsState;
  /** Starts something whose failure has no one else to tell. */
  track(what: string, work: Promise<void>): void;
  arm(): void;
  wakeSoon(): void;
}

export interface Following {
  /** All that is stored, before it is known what is published; returns the names of their functions. */
  load(): Promise<Set<string>>;
  /** Brings the crons of one function to what its publications say. Tries again by itself when the store fails. */
  follow(functionName: string): Promise<void>;
  /** What the store has of these functions, or of all (null): another gateway may have changed it. */
  reload(functionNames: ReadonlySet<string> | null): Promise<void>;
}

export function createFollowing(parts: FollowingParts): Following {
  const { store, registry, now, timers, log, entries, state, track, arm, wakeSoon } = parts;

  async function load(): Promise<Set<string>> {
    const names = new Set<string>();
    for (const record of await store.list()) {
      keep(record, record.expression);
      names.add(record.functionName);
    }
    return names;
  }

  async function follow(functionName: string): Promise<void> {
    if (state() === 'drained') return;
    try {
      const written = registry.crons(functionName);
      const known = [...entries.values()].some(({ record }) => record.functionName === functionName);
      if (written.length === 0 && !known) return;
      const manifest = written.length === 0 ? undefined : registry.function(functionName)?.active?.manifest;
      const settings = manifest?.hearth ?? { timezone: 'UTC', missed: 'once' as const, overlap: 'skip' as const };
      const wanted = wantedCrons(functionName, settings, written, (id, expression, timezone) => {
        const entry = entries.get(id);
        // A clock that was set back shows again what has had its turn.
        const from = Math.max(now(), entry?.record.firedUntil ?? 0);
        return scheduleOf(entry, expression, timezone).next(from);
      });
      const stored = await store.replace(functionName, wanted);
      const texts = new Map(written.map(({ cron }) => [cronId(functionName, cron), cron]));
      for (const [id, { record }] of entries) {
        if (record.functionName === functionName && !stored.some((cron) => cron.id === id)) entries.delete(id);
      }
      for (const record of stored) keep(record, texts.get(record.id) ?? record.expression);
      arm();
    } catch (error) {
      log.error('Crons of a function could not be stored; it is tried again.', { function: functionName, error });
      timers.after(STORE_RETRY_MS, () => track('sync', follow(functionName)));
    }
  }

  function keep(record: CronRecord, cron: string): void {
    const entry = entries.get(record.id);
    const schedule = scheduleOf(entry, record.expression, record.timezone);
    if (entry !== undefined) {
      Object.assign(entry, { record, cron, schedule });
      return;
    }
    entries.set(record.id, newEntry(record, cron, schedule));
  }

  async function reload(functionNames: ReadonlySet<string> | null): Promise<void> {
    const stored = new Map<string, CronRecord>();
    const lists = functionNames === null ? [store.list()] : [...functionNames].map((name) => store.list(name));
    for (const record of (await Promise.all(lists)).flat()) stored.set(record.id, record);
    const missing = new Set<string>();
    for (const [id, entry] of entries) {
      const { functionName } = entry.record;
      if (functionNames !== null && !functionNames.has(functionName)) continue;
      const record = stored.get(id);
      if (record === undefined) missing.add(functionName);
      // What is asked is answered after this.
      else if (!entry.asked) keep(record, entry.cron);
    }
    for (const name of missing) track('sync', follow(name));
    wakeSoon();
  }

  return { load, follow, reload };
}
