/**
 * Fires crons: keeps what is published in the store, sleeps until the next one is due, claims each due time before it is
 * run, and records how that ended. What to do when is decided in plan.ts; the runs are in runs.ts.
 *
 * Every gateway on a store plans all crons; the claim decides whose a due time is. At least once: a run that had not ended
 * when its gateway did is run again with the same invocation id, by its next life or by another gateway.
 */
import { readSchedule, type Schedule } from '../../../functions/contract/cron.ts';
import { HearthError } from '../../../functions/contract/errors.ts';
import type { Keeper } from '../../../pool/keeper/api.ts';
import { CRON_KEEP_MS, prewarmAt } from '../../../pool/keeper/policy/prewarm.ts';
import type { Registry } from '../../registry/registry.ts';
import type { ChangeFeed, CronClaim, CronClaimed, CronRecord, CronStore } from '../../store/store.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { Dispatcher } from '../dispatcher.ts';
import type { Timers } from '../timers.ts';
import { type CronProgress, cronId, IN_TIME_MS, nextStep, sleepMs, wantedCrons } from './plan.ts';
import { type CronRun, createCronRuns, LEASE_MS, STORE_RETRY_MS } from './runs.ts';

export interface CronView {
  id: string;
  function: string;
  /** As the manifest has it: what `controller.cron` says. */
  expression: string;
  timezone: string;
  missed: CronRecord['missed'];
  overlap: CronRecord['overlap'];
  paused: boolean;
  /** Epoch ms; null while paused, and when it is never due again. */
  nextAt: number | null;
  /** Runs that have not ended. */
  running: number;
  /** `lateMs`: from when it was due until it was begun, or skipped. */
  last: (NonNullable<CronRecord['last']> & { lateMs: number }) | null;
}

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

interface Entry {
  record: CronRecord;
  /** As written. */
  cron: string;
  schedule: Schedule;
  /** `running` counts the runs of this gateway. */
  progress: CronProgress;
  /** Another gateway has a run of it, which the next step has to respect; found out anew for each step. */
  elsewhere: boolean;
  /** A claim of it is on its way. */
  asked: boolean;
  /** Epoch ms before which nothing is to be done: the store failed, or a run of another gateway is waited for. */
  lookAt: number | null;
  /** The tick for which its function was loaded ahead; epoch ms. */
  prewarmedFor: number | null;
}

/** Leases are lengthened, and those of others looked through, so often. */
export const BEAT_MS = 3_000;
/** Beats between two full comparisons with the store, which mend what a notice that never came would have told. */
const BEATS_A_RELOAD = 20;
/** How often a run of another gateway is looked at whose end is waited for. */
const LOOK_MS = 1_000;
/** Claims of one call to the store: a thousand at once would keep others from it for too long. */
const MOST_CLAIMS = 250;

export function createCrons(parts: CronParts): Crons {
  const { store, changes, owner, registry, keeper, now, timers, newId, log } = parts;
  const entries = new Map<string, Entry>();
  const runs = createCronRuns({ ...parts, known: (id) => entries.has(id) });
  const inFlight = new Set<Promise<void>>();
  let state: 'idle' | 'firing' | 'drained' = 'idle';
  let disarm: () => void = () => undefined;
  let stopBeat: () => void = () => undefined;
  let unlisten: () => void = () => undefined;
  let waking = false;
  let beats = 0;

  /** Starts something whose failure has no one else to tell. */
  function track(what: string, work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => log.error(`Crons: ${what} failed.`, { error }))
      .finally(() => inFlight.delete(tracked));
    inFlight.add(tracked);
  }

  /* ── when ── */

  function arm(): void {
    disarm();
    if (state !== 'firing') return;
    let earliest: number | null = null;
    for (const entry of entries.values()) {
      const at = stepAt(entry);
      if (at === null) continue;
      const first = Math.min(at, loadAt(entry) ?? at);
      if (earliest === null || first < earliest) earliest = first;
    }
    disarm = timers.after(sleepMs(earliest, now()), wake);
  }

  /** Loads ahead what is due soon. */
  function prewarm(entry: Entry, nowMs: number): void {
    const { record } = entry;
    const at = loadAt(entry);
    if (at === null || at > nowMs) return;
    entry.prewarmedFor = record.nextAt;
    const active = registry.function(record.functionName)?.active;
    if (active !== undefined && (record.nextAt ?? 0) > nowMs) keeper.prewarm(active.spec, CRON_KEEP_MS);
  }

  function wake(): void {
    waking = false;
    if (state !== 'firing') return;
    const nowMs = now();
    let due: Entry[] = [];
    for (const entry of entries.values()) {
      const at = stepAt(entry);
      if (at === null) continue;
      prewarm(entry, nowMs);
      if (at > nowMs) continue;
      due.push(entry);
      if (due.length < MOST_CLAIMS) continue;
      track('claim', step(due, nowMs));
      due = [];
    }
    if (due.length > 0) track('claim', step(due, nowMs));
    arm();
  }

  /** Once for all that ends in one turn of the loop: each look goes through all crons. */
  function wakeSoon(): void {
    if (waking) return;
    waking = true;
    queueMicrotask(wake);
  }

  /** One step of each. */
  async function step(due: Entry[], nowMs: number): Promise<void> {
    const asked: { entry: Entry; claim: CronClaim }[] = [];
    for (const entry of due) {
      entry.lookAt = null;
      const claim = claimOf(entry, nowMs);
      if (claim === null) continue;
      entry.asked = true;
      asked.push({ entry, claim });
    }
    if (asked.length === 0) return;
    const leaseUntil = nowMs + LEASE_MS;
    let answers: CronClaimed[];
    try {
      answers = await store.claim(
        asked.map(({ claim }) => claim),
        owner,
        leaseUntil,
      );
    } catch (error) {
      log.error('Crons were not fired: the store failed; it is tried again.', { crons: asked.length, error });
      for (const { entry } of asked) {
        entry.asked = false;
        entry.lookAt = now() + STORE_RETRY_MS;
      }
      arm();
      return;
    }
    for (const [i, { entry, claim }] of asked.entries()) {
      entry.asked = false;
      const answer = answers[i];
      if (answer !== undefined) apply(entry, claim, answer, leaseUntil);
    }
    wakeSoon();
  }

  /** Null when there is nothing to claim now. */
  function claimOf(entry: Entry, nowMs: number): CronClaim | null {
    const { record, progress } = entry;
    const around = entry.elsewhere ? { ...progress, running: progress.running + 1 } : progress;
    const next = nextStep(record, around, nowMs, entry.schedule.next);
    if (next.do === 'wait') {
      progress.held = false;
      progress.caughtUp = 0;
      return null;
    }
    if (next.do === 'hold') {
      progress.held = true;
      entry.elsewhere = false;
      // The end of a run of its own wakes it.
      if (progress.running === 0) entry.lookAt = nowMs + LOOK_MS;
      return null;
    }
    const why = next.do === 'skip' ? next.why : isPublished(entry) ? null : 'it was taken back';
    return {
      id: record.id,
      dueAt: next.dueAt,
      nextAt: next.nextAt,
      startedAt: nowMs,
      invocationId: newId(),
      skipped: why,
      alone: why === null && record.overlap !== 'allow',
    };
  }

  /** A tick may have had to wait for its turn while its cron was unpublished. */
  function isPublished({ record, cron }: Entry): boolean {
    return registry.crons(record.functionName).some((published) => published.cron === cron);
  }

  function apply(entry: Entry, claim: CronClaim, answer: CronClaimed, leaseUntil: number): void {
    const { record, progress } = entry;
    const { id, functionName } = record;
    switch (answer.state) {
      case 'busy':
        entry.elsewhere = true;
        return;
      case 'passed':
        // Another gateway was first, or it was paused there.
        record.nextAt = answer.nextAt;
        record.paused = answer.paused;
        entry.elsewhere = false;
        return;
      case 'gone':
        entry.lookAt = now() + STORE_RETRY_MS;
        track('sync', follow(functionName));
        return;
      case 'claimed':
        break;
      default:
        answer satisfies never;
    }
    const { dueAt, startedAt, invocationId, skipped } = claim;
    record.nextAt = claim.nextAt;
    record.firedUntil = Math.max(record.firedUntil, dueAt, startedAt);
    entry.elsewhere = false;
    progress.held = false;
    const ended = { endedAt: startedAt, outcome: 'skipped', error: skipped } as const;
    const begun = { endedAt: null, outcome: 'running', error: null } as const;
    record.last = { dueAt, startedAt, attempts: 1, invocationId, ...(skipped === null ? begun : ended) };
    const lateMs = startedAt - dueAt;
    if (skipped !== null) {
      log.info('Cron tick skipped.', { cron: id, function: functionName, why: skipped, late_ms: lateMs });
      return;
    }
    if (lateMs > IN_TIME_MS) {
      const facts = { cron: id, function: functionName, invocation_id: invocationId };
      log.info('Cron tick fired late.', { ...facts, due_at: new Date(dueAt).toISOString(), late_ms: lateMs });
    }
    progress.caughtUp += 1;
    begin(entry, { id, functionName, cron: entry.cron, dueAt, invocationId, attempt: 1 }, leaseUntil);
  }

  /* ── runs ── */

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
      if (state === 'firing' && entries.size > 0) {
        if (!stepped) await takeOver(false);
        beats += 1;
        if (beats % BEATS_A_RELOAD === 0) await reload(null);
      }
    } finally {
      if (stepped) {
        for (const entry of entries.values()) entry.lookAt = null;
        wakeSoon();
      }
      if (state === 'firing' || runs.size > 0) beatLater();
    }
  }

  /* ── what there is ── */

  /** Brings the crons of one function to what its publications say. */
  async function follow(functionName: string): Promise<void> {
    if (state === 'drained') return;
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
    entries.set(record.id, {
      record,
      cron,
      schedule,
      progress: { running: 0, held: false, caughtUp: 0 },
      elsewhere: false,
      asked: false,
      lookAt: null,
      prewarmedFor: null,
    });
  }

  /** What the store has of these functions, or of all (null): another gateway may have changed it. */
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

  function onChanges(list: { kind: string; name: string }[] | null): void {
    const names = list === null ? null : new Set(list.filter(({ kind }) => kind === 'cron').map(({ name }) => name));
    if (state === 'firing' && names?.size !== 0) track('reload', reload(names));
  }

  async function recordOf(id: string): Promise<CronRecord> {
    const functionName = entries.get(id)?.record.functionName;
    const record = (await store.list(functionName)).find((cron) => cron.id === id);
    if (record === undefined) throw new HearthError('NOT_FOUND', `There is no cron "${id}".`);
    return record;
  }

  return {
    async start() {
      const names = new Set<string>();
      for (const record of await store.list()) {
        keep(record, record.expression);
        names.add(record.functionName);
      }
      // From here on, so that no deploy falls between.
      const unlistenRegistry = registry.onChange((name) => {
        track('sync', follow(name));
      });
      const unlistenStore = changes.listen(onChanges);
      unlisten = () => {
        unlistenRegistry();
        unlistenStore();
      };
      for (const { record } of registry.functions()) if (registry.crons(record.name).length > 0) names.add(record.name);
      await Promise.all([...names].map((name) => follow(name)));
      await takeOver(true);
      state = 'firing';
      beatLater();
      wake();
    },
    async list() {
      return (await store.list())
        .map((record) => viewOf(record, entries.get(record.id)?.cron))
        .sort((a, b) => compare(a.function, b.function) || compare(a.expression, b.expression));
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
        arm();
      }
      return viewOf(record, entry?.cron);
    },
    async drain() {
      state = 'drained';
      unlisten();
      disarm();
      runs.drain();
      while (inFlight.size > 0) await Promise.all(inFlight);
      stopBeat();
    },
  };
}

/** Epoch ms of its next step; null: it waits for something else, such as the end of a run, which then looks itself. */
function stepAt({ record, progress, asked, lookAt }: Entry): number | null {
  if (record.paused || record.nextAt === null || asked) return null;
  if (progress.held && progress.running > 0) return null;
  return lookAt === null ? record.nextAt : Math.max(record.nextAt, lookAt);
}

/** Epoch ms at which to load ahead for its next tick; null when that is not to be done, or is done. */
function loadAt({ record, prewarmedFor }: Entry): number | null {
  if (record.nextAt === null || prewarmedFor === record.nextAt) return null;
  return prewarmAt(record.nextAt, record.last?.endedAt ?? null);
}

function scheduleOf(entry: Entry | undefined, expression: string, timezone: string): Schedule {
  const same = entry?.record.expression === expression && entry.record.timezone === timezone;
  return same ? entry.schedule : readSchedule(expression, timezone);
}

function viewOf(record: CronRecord, cron = record.expression): CronView {
  const { id, functionName, timezone, missed, overlap, paused, nextAt, running, last } = record;
  return {
    id,
    function: functionName,
    expression: cron,
    timezone,
    missed,
    overlap,
    paused,
    nextAt,
    running,
    last: last === null ? null : { ...last, lateMs: last.startedAt - last.dueAt },
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
