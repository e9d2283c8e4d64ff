/**
 * Runs rollouts: sets the traffic of each step, looks at the figures four times a second, and returns the traffic when
 * they are bad. What follows from what is decided in state.ts, guard.ts and plan.ts, and done in changes.ts.
 *
 * A step's traffic, that of all its functions, and the rollout's own record are one commit, so that a gateway which
 * ends in between finds either the old state or the new one.
 *
 * Of several gateways each knows all rollouts, keeps what they may return to and counts its calls; the one that leads
 * takes the steps. What somebody asks for is done by the gateway that is asked. Each change is the next revision of the
 * record or is refused by the store: whoever was slower, or stood still meanwhile, takes over what there is.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import type { RolloutAction, RolloutRequest } from '../../functions/contract/rollout.ts';
import type { Registry } from '../registry/registry.ts';
import type { RolloutRecord, RolloutStore } from '../store/api/rollouts.ts';
import type { Logger } from '../telemetry/log.ts';
import type { FinishedInvocation } from '../telemetry/telemetry.ts';
import type { Timers } from '../triggers/timers.ts';
import { createChanges, HEARTH } from './changes.ts';
import { type Live, look, movedBySomebody, newLive } from './live.ts';
import { newRecord } from './record.ts';
import type { Reports } from './reports.ts';
import { advance, type Happening, isOver, resumed } from './state.ts';
import { inTurn } from './turn.ts';
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
  /** Takes over what other gateways have done; null: all that runs. Throws NO_CAPACITY while the store is away. */
  refresh(ids: readonly string[] | null): Promise<void>;
  /** This gateway has begun to lead: the step of each goes on from here, with its pause anew. */
  lead(): void;
  /** Every invocation of the gateway, when it has ended. */
  finished(invocation: FinishedInvocation): void;
  /** Takes no further step; resolves when what was begun is stored. */
  drain(): Promise<void>;
}

export interface RolloutsParts {
  store: RolloutStore;
  registry: Pick<
    Registry,
    'function' | 'setTraffic' | 'returnTraffic' | 'reserve' | 'release' | 'refresh' | 'onChange'
  >;
  /** Whether this gateway takes the steps. Default: it does. */
  leads?(): boolean;
  /** Between it and the others; left out where there are none. */
  reports?: Reports;
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
/** Every second. */
const LOOKS_A_REPORT = 4;

export function createRollouts(parts: RolloutsParts): Rollouts {
  const { store, registry, now, timers, newId, log, leads = () => true } = parts;
  const windows = createWindows();
  const running = new Map<string, Live>();
  /** By function: the one rollout that moves it. */
  const owners = new Map<string, Live>();
  let state: 'idle' | 'running' | 'drained' = 'idle';
  let disarm: (() => void) | null = null;
  let looks = 0;
  const reporting = new Set<Live>();
  let unlisten: () => void = () => undefined;

  const changes = createChanges({ ...parts, leads, release });

  function take(record: RolloutRecord): Live {
    const live = newLive(record);
    running.set(record.id, live);
    for (const { name } of record.functions) owners.set(name, live);
    registry.reserve(record.id, record.functions);
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
    registry.release(live.record.id);
    if (running.size > 0) return;
    disarm?.();
    disarm = null;
  }

  function arm(): void {
    if (state !== 'running' || disarm !== null || running.size === 0) return;
    disarm = timers.after(LOOK_EVERY_MS, () => {
      disarm = null;
      looks += 1;
      for (const live of [...running.values()]) {
        if (looks % LOOKS_A_REPORT === 0) report(live);
        lookAt(live);
      }
      arm();
    });
  }

  /** One at a time; what cannot be sent now is sent with the next. */
  function report(live: Live): void {
    const { reports } = parts;
    if (reports === undefined || live.record.guard === false || reporting.has(live)) return;
    reporting.add(live);
    const { record, windows: counted } = live;
    (leads() ? reports.collect(() => live.record, counted) : reports.send(record, counted))
      .catch((error: unknown) =>
        log.warn('What a rollout is judged by was not exchanged.', { rollout: record.id, error }),
      )
      .finally(() => reporting.delete(live));
  }

  /** What Hearth does by itself. A store that is away now is asked again with the next look. */
  function lookAt(live: Live): void {
    if (live.busy || state !== 'running' || !leads()) return;
    const happening = look(live, registry);
    const { progress } = advance(live.record, live.record.steps, happening, now());
    if (progress === live.record) return;
    act(live, happening);
  }

  function act(live: Live, happening: Happening): void {
    inTurn(live, async () => {
      if (running.has(live.record.id)) await changes.apply(live, happening, HEARTH);
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

  function lead(): void {
    for (const live of running.values()) {
      if (!live.busy) live.record = { ...live.record, ...resumed(live.record, now()) };
      lookAt(live);
    }
    arm();
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
      for (const record of await store.running()) watch(take(record));
      state = 'running';
      if (leads()) lead();
      unlisten = registry.onChange((name) => {
        const live = owners.get(name);
        // Behind the change that is under way: that may be the very one which is told of.
        if (live === undefined || state !== 'running' || !leads()) return;
        inTurn(live, async () => {
          const moved = running.has(live.record.id) ? movedBySomebody(live, registry) : null;
          if (moved !== null) await changes.apply(live, moved, HEARTH);
        }).catch((error: unknown) => log.error('A rollout could not be ended; it is tried again.', { error }));
      });
    },

    lead,
    async refresh(ids) {
      const stored = await (ids === null ? store.running() : Promise.all(ids.map((id) => store.get(id))));
      for (const record of stored) {
        if (record === null || running.has(record.id) || isOver(record) || state !== 'running') continue;
        watch(take(record));
        arm();
      }
      const known = ids === null ? [...running.values()] : ids.flatMap((id) => running.get(id) ?? []);
      for (const live of known) {
        // In its turn: one that begins here is in the store when it is over.
        await inTurn(live, async () => {
          if (running.has(live.record.id)) changes.adopt(live, await store.get(live.record.id));
        });
      }
    },

    async create(request, actor) {
      if (state !== 'running') throw new HearthError('NO_CAPACITY', 'The gateway is not ready yet, or ending.');
      const ownerOf = (name: string) => owners.get(name)?.record.id;
      const record = newRecord(request, { id: newId(), actor, nowMs: now(), registry, ownerOf });
      // From here on the functions are taken, before anything waits.
      const live = take(record);
      watch(live);
      await inTurn(live, () => changes.begin(live));
      await changes.note(actor, 'create', record);
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
      await inTurn(live, () => changes.apply(live, { what: action }, actor));
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
