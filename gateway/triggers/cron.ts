/**
 * Fires crons: keeps what is published in the store, sleeps until the next one is due, claims each tick before it runs,
 * and records how it ended. What to do when is decided in cron-plan.ts.
 *
 * At least once: a run that had not ended when the gateway did is run again with the same invocation id at start.
 */
import { nextRun } from '../../functions/contract/cron.ts';
import { HearthError, toHearthError } from '../../functions/contract/errors.ts';
import type { Keeper } from '../../pool/keeper/api.ts';
import { CRON_KEEP_MS, prewarmAt } from '../../pool/keeper/policy/prewarm.ts';
import type { Registry } from '../registry/registry.ts';
import type { CronRecord, CronStore } from '../store/store.ts';
import type { Logger } from '../telemetry/log.ts';
import { type CronProgress, cronId, nextStep, retryDelayMs, sleepMs, wantedCrons } from './cron-plan.ts';
import type { Dispatcher } from './dispatcher.ts';
import { createLocks } from './locks.ts';
import { servedBy } from './served-by.ts';
import type { Timers } from './timers.ts';

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
  last: CronRecord['last'];
}

export interface Crons {
  /** Takes over what the store has, runs again what was cut off, then fires until `drain`. */
  start(): Promise<void>;
  /** By function, then expression. */
  list(): CronView[];
  /** Ticks that pass while it is paused are not made up for. Throws NOT_FOUND. */
  setPaused(id: string, paused: boolean): Promise<CronView>;
  /** Fires no more; resolves when the runs in flight have ended and are recorded. */
  drain(): Promise<void>;
}

export interface CronParts {
  store: CronStore;
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
  progress: CronProgress;
  /** The tick for which its function was loaded ahead; epoch ms. */
  prewarmedFor: number | null;
}

/** Whose runs they are; of one gateway on its own store always the same. */
const OWNER = 'gateway';
const LEASE_MS = 10_000;

/** Until the store is asked again after it failed. */
const STORE_RETRY_MS = 5_000;

export function createCrons(parts: CronParts): Crons {
  const { store, registry, dispatcher, keeper, now, timers, newId, log } = parts;
  const entries = new Map<string, Entry>();
  /** Due times are read and written under the function's lock: a deploy and a claim must not undo each other. */
  const locked = createLocks();
  const inFlight = new Set<Promise<void>>();
  let state: 'idle' | 'firing' | 'drained' = 'idle';
  let disarm: () => void = () => undefined;
  let unlisten: () => void = () => undefined;
  const drainSignal = new AbortController();

  /** Starts something whose failure has no one else to tell. */
  function track(what: string, work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => log.error(`Crons: ${what} failed.`, { error }))
      .finally(() => inFlight.delete(tracked));
    inFlight.add(tracked);
  }

  function arm(): void {
    disarm();
    if (state !== 'firing') return;
    let earliest: number | null = null;
    for (const entry of entries.values()) {
      const { record } = entry;
      if (record.nextAt === null || !mayStep(entry)) continue;
      const at = loadAt(entry) ?? record.nextAt;
      if (earliest === null || at < earliest) earliest = at;
    }
    disarm = timers.after(sleepMs(earliest, now()), wake);
  }

  /** Loads ahead what is due soon. */
  function prewarm(): void {
    for (const entry of entries.values()) {
      const { record } = entry;
      const at = mayStep(entry) ? loadAt(entry) : null;
      if (at === null || at > now()) continue;
      entry.prewarmedFor = record.nextAt;
      const active = registry.function(record.functionName)?.active;
      if (active !== undefined && (record.nextAt ?? 0) > now()) keeper.prewarm(active.spec, CRON_KEEP_MS);
    }
  }

  function wake(): void {
    prewarm();
    const due = [...entries.values()].filter((entry) => {
      return mayStep(entry) && entry.record.nextAt !== null && entry.record.nextAt <= now();
    });
    if (due.length === 0) arm();
    for (const entry of due) track(`cron ${entry.record.id}`, advance(entry));
  }

  /** Takes steps until there is nothing to do but wait. */
  async function advance(entry: Entry): Promise<void> {
    try {
      while (state === 'firing' && (await locked(entry.record.functionName, () => takeStep(entry)))) {
        // One step each time, so that a deploy or a pause gets its turn between them.
      }
      arm();
    } catch (error) {
      log.error('Cron was not fired: the store failed; it is tried again.', { cron: entry.record.id, error });
      disarm();
      disarm = timers.after(STORE_RETRY_MS, wake);
    }
  }

  /** False when there is no further step now. */
  async function takeStep(entry: Entry): Promise<boolean> {
    const { record, progress } = entry;
    if (entries.get(record.id) !== entry) return false;
    const step = nextStep(record, progress, now(), (after) => nextRun(record.expression, record.timezone, after));
    if (step.do === 'wait') {
      progress.held = false;
      progress.caughtUp = 0;
      return false;
    }
    if (step.do === 'hold') {
      progress.held = true;
      return false;
    }
    const { dueAt, nextAt } = step;
    const invocationId = newId();
    const startedAt = now();
    const claimed = await store.claim(record.id, dueAt, nextAt, {
      startedAt,
      invocationId,
      owner: OWNER,
      leaseUntil: startedAt + LEASE_MS,
    });
    record.nextAt = nextAt;
    // Another gateway on the same store was first: the tick is its.
    if (!claimed) return true;
    progress.held = false;
    record.last = { dueAt, startedAt, endedAt: null, outcome: 'running', invocationId, error: null };
    const why = step.do === 'skip' ? step.why : isPublished(entry) ? null : 'it was taken back';
    if (why !== null) {
      log.info('Cron tick skipped.', { cron: record.id, function: record.functionName, why });
      await finish(entry, dueAt, startedAt, invocationId, 'skipped', why);
      return true;
    }
    progress.caughtUp += 1;
    track(`run of ${record.id}`, run(entry, dueAt, startedAt, invocationId));
    return true;
  }

  /** A tick may have had to wait for its turn while its cron was unpublished. */
  function isPublished({ record, cron }: Entry): boolean {
    return registry.crons(record.functionName).some((published) => published.cron === cron);
  }

  async function run(entry: Entry, dueAt: number, startedAt: number, invocationId: string): Promise<void> {
    entry.progress.running += 1;
    try {
      const outcome = await attempts(entry, dueAt, invocationId);
      // Cut off by the drain while it waited for another try: it stays recorded as running, and runs at the next start.
      if (outcome === 'undone') return;
      await finish(entry, dueAt, startedAt, invocationId, outcome === null ? 'ok' : 'error', outcome?.message ?? null);
    } finally {
      entry.progress.running -= 1;
    }
    await advance(entry);
  }

  /** Null when it went well. Tried again only where the function was not reached, or its base died. */
  async function attempts(entry: Entry, dueAt: number, invocationId: string): Promise<HearthError | 'undone' | null> {
    for (let tries = 1; ; tries++) {
      const error = await attempt(entry, dueAt, invocationId);
      if (error === null) return null;
      const delayMs = NOT_REACHED.has(error.code) ? retryDelayMs(tries) : null;
      if (delayMs === null) return error;
      if (drainSignal.signal.aborted || !(await pause(delayMs))) return 'undone';
    }
  }

  async function attempt(entry: Entry, dueAt: number, invocationId: string): Promise<HearthError | null> {
    const fn = registry.function(entry.record.functionName);
    const version = fn === undefined ? undefined : servedBy(fn, 'scheduled');
    if (fn === undefined || version === undefined) {
      return new HearthError('NOT_FOUND', 'No version of the function is active.');
    }
    const head = { trigger: 'cron', cron: entry.cron, scheduledTime: dueAt } as const;
    const context = { traceparent: null, hops: 0 };
    try {
      await dispatcher.call(fn, version, head, context, null, { invocationId, settled: true });
      return null;
    } catch (thrown) {
      return toHearthError(thrown);
    }
  }

  /** False when the drain came first. */
  function pause(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = timers.after(ms, () => {
        drainSignal.signal.removeEventListener('abort', onDrain);
        resolve(true);
      });
      const onDrain = () => {
        cancel();
        resolve(false);
      };
      drainSignal.signal.addEventListener('abort', onDrain, { once: true });
    });
  }

  async function finish(
    entry: Entry,
    dueAt: number,
    startedAt: number,
    invocationId: string,
    outcome: 'ok' | 'error' | 'skipped',
    error: string | null,
  ): Promise<void> {
    const endedAt = now();
    entry.record.last = { dueAt, startedAt, endedAt, outcome, invocationId, error };
    await store.finish(entry.record.id, invocationId, endedAt, outcome, error);
  }

  /** Brings the crons of one function to what its publications say. */
  async function follow(functionName: string): Promise<void> {
    if (state === 'drained') return;
    try {
      await locked(functionName, async () => {
        const existing = new Map<string, CronRecord>();
        for (const { record } of entries.values()) {
          if (record.functionName === functionName) existing.set(record.id, record);
        }
        const written = registry.crons(functionName);
        if (written.length === 0 && existing.size === 0) return;
        const manifest = written.length === 0 ? undefined : registry.function(functionName)?.active?.manifest;
        const settings = manifest?.hearth ?? { timezone: 'UTC', missed: 'once' as const, overlap: 'skip' as const };
        const next = (expression: string, timezone: string) => nextRun(expression, timezone, now());
        const wanted = wantedCrons(functionName, settings, written, existing, next);
        await store.replace(functionName, wanted);
        for (const id of existing.keys()) {
          if (!wanted.some((cron) => cron.id === id)) entries.delete(id);
        }
        for (const cron of wanted) keep(cron, written);
      });
      arm();
    } catch (error) {
      log.error('Crons of a function could not be stored; it is tried again.', { function: functionName, error });
      timers.after(STORE_RETRY_MS, () => track('sync', follow(functionName)));
    }
  }

  function keep(cron: Omit<CronRecord, 'last' | 'paused'>, written: readonly { cron: string }[]): void {
    const cronText =
      written.find((other) => cronId(cron.functionName, other.cron) === cron.id)?.cron ?? cron.expression;
    const entry = entries.get(cron.id);
    if (entry === undefined) {
      const record = { ...cron, paused: false, last: null };
      entries.set(cron.id, {
        record,
        cron: cronText,
        progress: { running: 0, held: false, caughtUp: 0 },
        prewarmedFor: null,
      });
    } else {
      Object.assign(entry.record, cron);
      entry.cron = cronText;
    }
  }

  return {
    async start() {
      for (const record of await store.list()) {
        const progress = { running: 0, held: false, caughtUp: 0 };
        entries.set(record.id, { record: { ...record }, cron: record.expression, progress, prewarmedFor: null });
      }
      // From here on, so that no deploy falls between.
      unlisten = registry.onChange((name) => {
        track('sync', follow(name));
      });
      const names = new Set([...entries.values()].map(({ record }) => record.functionName));
      for (const { record } of registry.functions()) if (registry.crons(record.name).length > 0) names.add(record.name);
      await Promise.all([...names].map((name) => follow(name)));
      state = 'firing';
      for (const entry of entries.values()) {
        const { last } = entry.record;
        if (last?.outcome !== 'running') continue;
        track(`run of ${entry.record.id}`, run(entry, last.dueAt, last.startedAt, last.invocationId));
      }
      wake();
    },
    list: () =>
      [...entries.values()]
        .map(viewOf)
        .sort((a, b) => compare(a.function, b.function) || compare(a.expression, b.expression)),
    async setPaused(id, paused) {
      const entry = entries.get(id);
      if (entry === undefined) throw new HearthError('NOT_FOUND', `There is no cron "${id}".`);
      await locked(entry.record.functionName, async () => {
        const { record } = entry;
        if (record.paused === paused) return;
        const nextAt = paused ? null : nextRun(record.expression, record.timezone, now());
        if (!(await store.setPaused(id, paused, nextAt)))
          throw new HearthError('NOT_FOUND', `There is no cron "${id}".`);
        record.paused = paused;
        record.nextAt = nextAt;
      });
      arm();
      return viewOf(entry);
    },
    async drain() {
      state = 'drained';
      unlisten();
      disarm();
      drainSignal.abort();
      while (inFlight.size > 0) await Promise.all(inFlight);
    },
  };
}

/** Codes with which a run is tried again: the function was not called, or not to its end through a fault that passes. */
const NOT_REACHED: ReadonlySet<string> = new Set(['OVERLOADED', 'NO_CAPACITY', 'FUNCTION_CRASHED']);

/** Not paused, and not waiting for the end of a run, which takes the next step itself. */
function mayStep({ record, progress }: Entry): boolean {
  return !record.paused && !(progress.held && progress.running > 0);
}

/** Epoch ms at which to load ahead for its next tick; null when that is not to be done, or is done. */
function loadAt({ record, prewarmedFor }: Entry): number | null {
  if (record.nextAt === null || prewarmedFor === record.nextAt) return null;
  return prewarmAt(record.nextAt, record.last?.endedAt ?? null);
}

function viewOf({ record, cron, progress }: Entry): CronView {
  return {
    id: record.id,
    function: record.functionName,
    expression: cron,
    timezone: record.timezone,
    missed: record.missed,
    overlap: record.overlap,
    paused: record.paused,
    nextAt: record.nextAt,
    running: progress.running,
    last: record.last === null ? null : { ...record.last },
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
