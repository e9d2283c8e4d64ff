/**
 * Runs rollouts: sets the traffic of each step, looks at the figures four times a second, and returns the traffic when
 * they are bad. What follows from what is decided in state.ts, guard.ts and plan.ts.
 *
 * A step's traffic, that of all its functions, and the rollout's own record are one commit, so that a gateway which
 * ends in between finds either the old state or the new one.
 */
import { HearthError, toHearthError } from '../../functions/contract/errors.ts';
import { type RolloutAction, type RolloutRequest, stepsOf } from '../../functions/contract/rollout.ts';
import type { Traffic } from '../../functions/contract/traffic.ts';
import { versionsOf } from '../../functions/contract/traffic.ts';
import type { FunctionEntry, Registry, TrafficChange } from '../registry/registry.ts';
import type { RolloutRecord, RolloutStore } from '../store/store.ts';
import type { Logger } from '../telemetry/log.ts';
import type { FinishedInvocation } from '../telemetry/telemetry.ts';
import type { Timers } from '../triggers/timers.ts';
import { judge, missing } from './guard.ts';
import { othersOf, trafficAt } from './plan.ts';
import { advance, begun, type Happening, isOver, type Outcome, resumed } from './state.ts';
import { createWindows, type Window } from './windows.ts';

export interface RolloutView {
  readonly record: RolloutRecord;
  /** Of the step that runs, by function; null when it is over. */
  readonly windows: ReadonlyMap<string, Window> | null;
}

export interface Rollouts {
  /** Goes on with those that had not ended, each at the step where it was. */
  start(): Promise<void>;
  /** Resolves when the first step's traffic is set. NOT_FOUND for what is not there, CONFLICT where it cannot be done. */
  create(request: RolloutRequest, actor: string): Promise<RolloutView>;
  /** Throws NOT_FOUND. */
  get(id: string): Promise<RolloutView>;
  /** Newest first. */
  list(most: number): Promise<RolloutView[]>;
  /** Throws NOT_FOUND, and CONFLICT for what cannot be done in its state. */
  change(id: string, action: RolloutAction, actor: string): Promise<RolloutView>;
  /** Every invocation of the gateway, when it has ended. */
  finished(invocation: FinishedInvocation): void;
  /** Takes no further step; resolves when what was begun is stored. */
  drain(): Promise<void>;
}

export interface RolloutsParts {
  store: RolloutStore;
  registry: Pick<Registry, 'function' | 'setTraffic' | 'onChange'>;
  /** As in control/audit.ts. */
  audit(actor: string, action: string, subject: string, detail?: Record<string, unknown>): Promise<void>;
  /** Epoch ms. */
  now(): number;
  timers: Timers;
  newId(): string;
  log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

/** A bad step's traffic is to be back within a second. */
const LOOK_EVERY_MS = 250;
/**
 * Looks in a row that must find it slower. Calls are slow by the dozen when a base collects garbage or the machine halts,
 * and what counts each call as a witness of its own takes that for proof; a second later it is diluted.
 */
const SLOW_LOOKS = 4;
/** Whoever acts for itself, in the audit. */
const HEARTH = 'hearth';

interface Live {
  record: RolloutRecord;
  readonly windows: Map<string, Window>;
  /** Changes go one after another; the last one that was asked for. */
  turn: Promise<void>;
  /** Whether a change is under way. */
  busy: boolean;
  /** Looks in a row that found one of the functions slower. */
  slowLooks: number;
  /** Whether the last try failed for a reason that passes: said once. */
  failing: boolean;
}

type Rolled = RolloutRecord['functions'][number];

export function createRollouts(parts: RolloutsParts): Rollouts {
  const { store, registry, audit, now, timers, newId, log } = parts;
  const windows = createWindows();
  const running = new Map<string, Live>();
  /** By function: the one rollout that moves it. */
  const owners = new Map<string, Live>();
  let state: 'idle' | 'running' | 'drained' = 'idle';
  let disarm: (() => void) | null = null;
  let unlisten: () => void = () => undefined;

  function take(record: RolloutRecord): Live {
    const live: Live = {
      record,
      windows: new Map(),
      turn: Promise.resolve(),
      busy: false,
      slowLooks: 0,
      failing: false,
    };
    running.set(record.id, live);
    for (const { name } of record.functions) owners.set(name, live);
    return live;
  }

  function watch(live: Live): void {
    for (const { name, version } of live.record.functions) live.windows.set(name, windows.watch(name, version));
  }

  function release(live: Live): void {
    running.delete(live.record.id);
    for (const { name } of live.record.functions) {
      if (owners.get(name) === live) owners.delete(name);
      windows.unwatch(name);
    }
    if (running.size > 0) return;
    disarm?.();
    disarm = null;
  }

  function arm(): void {
    if (state !== 'running' || disarm !== null || running.size === 0) return;
    disarm = timers.after(LOOK_EVERY_MS, () => {
      disarm = null;
      for (const live of [...running.values()]) look(live);
      arm();
    });
  }

  /** Runs alone among the changes of this rollout. */
  function inTurn<Result>(live: Live, work: () => Promise<Result>): Promise<Result> {
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

  /** What Hearth does by itself. A store that is away now is asked again with the next look. */
  function look(live: Live): void {
    if (live.busy || state !== 'running') return;
    const happening = happeningOf(live);
    const { progress } = advance(live.record, live.record.steps, happening, now());
    if (progress === live.record) return;
    act(live, happening);
  }

  function act(live: Live, happening: Happening): void {
    inTurn(live, async () => {
      if (isOver(live.record)) return;
      await apply(live, happening, HEARTH);
    }).then(
      () => {
        live.failing = false;
      },
      (error: unknown) => {
        if (!live.failing)
          log.error('A rollout could not take its step; it is tried again.', { rollout: live.record.id, error });
        live.failing = true;
      },
    );
  }

  /** What there is to be done now: at the least, time has passed. */
  function happeningOf(live: Live): Happening {
    const strayed = strayedOf(live);
    if (strayed.length > 0) return { what: 'moved', why: strayed.map(whyMoved).join('; ') };
    const { guard, functions } = live.record;
    if (guard === false) return { what: 'tick', hold: false };
    let hold = false;
    let slower: string | null = null;
    for (const { name, version } of functions) {
      const window = live.windows.get(name);
      if (window === undefined) continue;
      const verdict = judge(window, guard, functions.length);
      const why = verdict === null ? null : `${name} ${version}: ${verdict.why}`;
      if (why !== null && verdict?.figure === 'errorRate') return { what: 'bad', why };
      slower ??= why;
      if (why === null && window.isFull) window.begin(window.round + 1, keepsOld(live.record));
      const left = missing(window, guard);
      hold ||= guard.whenTooFew === 'wait' && left.fresh + left.old > 0;
    }
    live.slowLooks = slower === null ? 0 : live.slowLooks + 1;
    if (slower === null) return { what: 'tick', hold };
    // No step is taken while it is in doubt.
    return live.slowLooks < SLOW_LOOKS ? { what: 'tick', hold: true } : { what: 'bad', why: slower };
  }

  /** Functions whose traffic is not what this rollout has set. */
  function strayedOf({ record }: Live): Rolled[] {
    return record.functions.filter((rolled) => {
      const traffic = registry.function(rolled.name)?.record.traffic ?? null;
      return !isSame(traffic, trafficAt(rolled, record.steps, record.step));
    });
  }

  function whyMoved({ name }: Rolled): string {
    return registry.function(name) === undefined
      ? `${name} was deleted`
      : `the traffic of ${name} was moved by a traffic change, a deploy or a rollback, and stays as it was set there`;
  }

  /** Throws CONFLICT for what cannot be done now, and NO_CAPACITY while the store is away: nothing has changed then. */
  async function apply(live: Live, happening: Happening, actor: string): Promise<void> {
    const { record } = live;
    const outcome = advance(record, record.steps, happening, now());
    if (outcome.progress === record) return;
    const { id, functions, steps } = record;
    const next: RolloutRecord = { ...record, ...outcome.progress, updatedAt: now() };
    try {
      await commit(live, next, outcome);
    } catch (error) {
      const { code, message } = toHearthError(error);
      if (code !== 'CONFLICT' && code !== 'NOT_FOUND') throw error;
      // Somebody else was first. Else it is the step itself that cannot be, and trying again would not change that.
      const strayed = happening.what === 'moved' ? [] : strayedOf(live);
      if (strayed.length > 0) {
        return apply(live, { what: 'moved', why: strayed.map(whyMoved).join('; ') }, HEARTH);
      }
      if (outcome.traffic === 'set') {
        return apply(live, { what: 'bad', why: `step ${next.step + 1} could not be taken: ${message}` }, HEARTH);
      }
      log.error('The traffic of a rollout could not be returned.', { rollout: id, error });
      next.why = `${next.why ?? ''}; the traffic could not be returned: ${message}`;
      await store.put(next);
    }
    live.record = next;
    if (outcome.traffic === 'set') clear(live);
    const names = functions.map(({ name }) => name);
    log[next.state === 'stopped' ? 'warn' : 'info'](`Rollout ${next.state}.`, {
      rollout: id,
      functions: names,
      step: next.step,
      why: next.why,
    });
    await note(actor, actionOf(happening, outcome), next, steps.length);
    if (isOver(next)) release(live);
  }

  /** The record, and the traffic with it. */
  async function commit(live: Live, next: RolloutRecord, { traffic }: Outcome): Promise<void> {
    const { record } = live;
    const expected = (rolled: Rolled) => trafficAt(rolled, record.steps, record.step);
    let changes: TrafficChange[] = [];
    if (traffic === 'set') {
      changes = record.functions.map((rolled) => ({
        name: rolled.name,
        traffic: trafficAt(rolled, next.steps, next.step),
        previous: rolled.before,
        expected: expected(rolled),
      }));
    } else if (traffic === 'return') {
      const strayed = new Set(strayedOf(live));
      changes = record.functions
        .filter((rolled) => !strayed.has(rolled))
        .map((rolled) => ({
          name: rolled.name,
          traffic: rolled.before,
          previous: whole(registry.function(rolled.name), rolled.previous),
          expected: expected(rolled),
        }));
    }
    if (changes.length === 0) await store.put(next);
    else await registry.setTraffic(changes, next);
  }

  /** Each step is judged by its own calls. */
  function clear(live: Live): void {
    live.slowLooks = 0;
    for (const window of live.windows.values()) window.begin(1, keepsOld(live.record));
  }

  /** The change itself is done: that it could not be noted undoes nothing. */
  async function note(actor: string, action: string, record: RolloutRecord, steps: number): Promise<void> {
    const { id, functions, step, state: now, why } = record;
    const versions = Object.fromEntries(functions.map(({ name, version }) => [name, version]));
    const percent = record.steps[step]?.percent ?? 0;
    try {
      await audit(actor, `rollout.${action}`, id, {
        state: now,
        functions: versions,
        step: step + 1,
        steps,
        percent,
        ...(why === null ? {} : { why }),
      });
    } catch (error) {
      log.error('A change of a rollout is missing in the audit log.', { rollout: id, action, error });
    }
  }

  function begin({ functions, steps, guard }: RolloutRequest, actor: string): RolloutRecord {
    const time = now();
    return {
      id: newId(),
      functions: functions.map(({ name, version: wanted }): Rolled => {
        const entry = registry.function(name);
        if (entry === undefined) throw new HearthError('NOT_FOUND', `There is no function "${name}".`);
        const version = entry.find(wanted)?.version;
        if (version === undefined) throw new HearthError('NOT_FOUND', `"${name}" has no version "${wanted}".`);
        const owner = owners.get(name);
        if (owner !== undefined) {
          throw new HearthError(
            'CONFLICT',
            `"${name}" is in the rollout ${owner.record.id}, which is not over; abort that one first.`,
          );
        }
        const { traffic, previousTraffic } = entry.record;
        if (traffic === null) {
          throw new HearthError(
            'CONFLICT',
            `No version of "${name}" takes traffic: there is nothing to roll out from. Set its traffic.`,
          );
        }
        const rolled = { name, version, before: traffic, previous: previousTraffic };
        if (othersOf(rolled).length === 0) {
          throw new HearthError('CONFLICT', `Version "${version}" of "${name}" takes all of the traffic already.`);
        }
        return rolled;
      }),
      steps: stepsOf(steps),
      guard,
      ...begun(time),
      createdBy: actor,
      createdAt: time,
      updatedAt: time,
    };
  }

  async function viewOf(live: Live): Promise<RolloutView> {
    // What was begun before somebody asks is over when they are answered.
    await live.turn;
    return { record: live.record, windows: isOver(live.record) ? null : live.windows };
  }

  function unknown(id: string): HearthError {
    return new HearthError('NOT_FOUND', `There is no rollout "${id}"; GET /v1/rollouts lists them.`);
  }

  return {
    async start() {
      for (const record of await store.running()) {
        const live = take({ ...record, ...resumed(record, now()) });
        watch(live);
      }
      state = 'running';
      unlisten = registry.onChange((name) => {
        const live = owners.get(name);
        // Behind the change that is under way: that may be the very one which is told of.
        if (live === undefined || state !== 'running') return;
        inTurn(live, async () => {
          if (isOver(live.record)) return;
          const strayed = strayedOf(live);
          if (strayed.length > 0) await apply(live, { what: 'moved', why: strayed.map(whyMoved).join('; ') }, HEARTH);
        }).catch((error: unknown) => log.error('A rollout could not be ended; it is tried again.', { error }));
      });
      for (const live of running.values()) look(live);
      arm();
    },

    async create(request, actor) {
      if (state !== 'running') throw new HearthError('NO_CAPACITY', 'The gateway is not ready yet, or ending.');
      const record = begin(request, actor);
      // From here on the functions are taken, before anything waits.
      const live = take(record);
      watch(live);
      try {
        await inTurn(live, async () => {
          const changes = record.functions.map((rolled) => ({
            name: rolled.name,
            traffic: trafficAt(rolled, record.steps, 0),
            previous: rolled.before,
            expected: rolled.before,
          }));
          await registry.setTraffic(changes, record);
        });
      } catch (error) {
        release(live);
        throw error;
      }
      log.info('Rollout begun.', { rollout: record.id, functions: record.functions.map(({ name }) => name) });
      await note(actor, 'create', record, record.steps.length);
      arm();
      return viewOf(live);
    },

    async get(id) {
      const live = running.get(id);
      if (live !== undefined) return viewOf(live);
      const record = await store.get(id);
      if (record === null) throw unknown(id);
      return { record, windows: null };
    },

    async list(most) {
      await Promise.all([...running.values()].map(({ turn }) => turn));
      const records = await store.list(most);
      return records.map((record) => {
        const live = running.get(record.id);
        return live === undefined ? { record, windows: null } : { record: live.record, windows: live.windows };
      });
    },

    async change(id, action, actor) {
      const live = running.get(id);
      if (live === undefined) {
        const record = await store.get(id);
        if (record === null) throw unknown(id);
        advance(record, record.steps, { what: action }, now());
        throw new HearthError('NO_CAPACITY', 'The rollout is not taken up yet.', { retryAfterS: 1 });
      }
      await inTurn(live, () => apply(live, { what: action }, actor));
      return viewOf(live);
    },

    finished: windows.finished,

    async drain() {
      state = 'drained';
      unlisten();
      disarm?.();
      await Promise.all([...running.values()].map(({ turn }) => turn));
    },
  };
}

/** With everything on the new version, the old one's last figures stand. */
function keepsOld({ steps, step }: RolloutRecord): boolean {
  return steps[step]?.percent === 100;
}

/** A setting whose versions are all still there. */
function whole(entry: FunctionEntry | undefined, traffic: Traffic | null): Traffic | null {
  if (traffic === null || entry === undefined) return null;
  return versionsOf(traffic).every((version) => entry.versions.has(version)) ? traffic : null;
}

function isSame(one: Traffic | null, other: Traffic): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** As the audit names it. */
function actionOf({ what }: Happening, { progress, traffic }: Outcome): string {
  if (progress.state === 'completed') return 'complete';
  if (what === 'bad') return 'stop';
  if (what === 'moved') return 'abort';
  if (what !== 'tick') return what;
  return traffic === 'set' ? 'step' : 'wait';
}
