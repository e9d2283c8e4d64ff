/**
 * The versions that this gateway has anything of, each with its callers: those that take calls, and those that come to
 * their end, or were made to take another's place.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import type { KeeperHooks, ModuleSpec } from './api.ts';
import type { BaseDefinition } from './definition.ts';
import { FunctionPool } from './function-pool.ts';
import type { Definitions } from './generations/definitions.ts';
import type { ProvedWhere } from './generations/proofs.ts';
import type { HostProcess } from './hosts/host-process.ts';
import type { Instance } from './instance.ts';
import type { Room } from './place.ts';
import { IdleHistory } from './policy/keep-alive.ts';
import { limitsOf } from './policy/scaling.ts';
import type { Occupant } from './stock/lending.ts';
import type { Sharing } from './upkeep/sharing.ts';
import { Warmth } from './upkeep/warmth.ts';

/** `usual`, or for the proof of one of a group, of which nothing is remembered, beside other proofs or alone. */
export type Where = 'usual' | ProvedWhere;

export interface FunctionPoolsOptions {
  definitions: Pick<Definitions, 'inUse'>;
  hooks: KeeperHooks;
  now(): number;
  /** Monotonic ms by which idle times are measured, where that is not the machine's own. */
  idleClock?: () => number;
  /** A base for one more instance, or a place in that of its group. */
  take(spec: ModuleSpec, definition: BaseDefinition, where: Where): Room | Promise<Room>;
  sharing: Pick<Sharing, 'reserve' | 'forget'>;
  /** A base did not answer within the time: its thread is blocked. */
  unresponsive(instance: Instance): void;
}

/** Functions whose idle times are remembered, the last used ones. */
const HISTORIES_KEPT = 20_000;

export class FunctionPools {
  readonly #options: FunctionPoolsOptions;
  readonly #byKey = new Map<string, FunctionPool>();
  /** Pools that get no calls: retired ones whose last invocations still run, and those made to take another's place. */
  readonly #beside = new Set<FunctionPool>();
  /** By function, over all its versions. */
  readonly #histories = new Map<string, IdleHistory>();
  #closed = false;

  constructor(options: FunctionPoolsOptions) {
    this.#options = options;
  }

  /** Nothing is begun any more. */
  close(): void {
    this.#closed = true;
  }

  /* ── which there are ── */

  /** That takes the calls of this spec. */
  of(spec: ModuleSpec): FunctionPool {
    const known = this.#byKey.get(spec.key);
    if (known !== undefined) return known;
    const pool = this.#make(spec, this.#options.definitions.inUse(spec.base), 'usual');
    this.#byKey.set(spec.key, pool);
    return pool;
  }

  get serving(): Iterable<FunctionPool> {
    return this.#byKey.values();
  }

  get beside(): Iterable<FunctionPool> {
    return this.#beside;
  }

  *all(): Iterable<FunctionPool> {
    yield* this.#byKey.values();
    yield* this.#beside;
  }

  /** The pool of this key, and those of what is served apart from it. */
  #withParts(key: string): FunctionPool[] {
    const parts = `${key}/`;
    return [...this.#byKey.values()].filter(({ spec }) => spec.key === key || spec.key.startsWith(parts));
  }

  /* ── with and without traffic; see Keeper ── */

  activate(spec: ModuleSpec): void {
    if (this.#closed) return;
    this.of(spec);
    for (const pool of this.#withParts(spec.key)) {
      pool.upkeep.activate();
      this.#options.sharing.reserve(pool);
    }
  }

  deactivate(key: string): void {
    for (const pool of this.#withParts(key)) {
      pool.upkeep.deactivate();
      this.#options.sharing.forget(pool);
    }
  }

  prewarm(spec: ModuleSpec, keepMs: number): void {
    if (!this.#closed) this.of(spec).upkeep.prewarm(keepMs);
  }

  async retire(key: string, why: string): Promise<void> {
    const pools = this.#withParts(key);
    for (const pool of pools) {
      this.#byKey.delete(pool.spec.key);
      this.#options.sharing.forget(pool);
      this.#beside.add(pool);
    }
    await Promise.all(pools.map((pool) => pool.retire(why)));
  }

  /* ── one in another's place ── */

  /** One more for this spec. It takes no calls until it is put in another's place. */
  make(spec: ModuleSpec, definition: BaseDefinition | undefined, where: Where): FunctionPool {
    const made = this.#make(spec, definition, where);
    this.#beside.add(made);
    return made;
  }

  /** Calls go to `fresh` from now on. Resolves when `old` has come to its end. Null: `old` has been retired meanwhile. */
  swap(old: FunctionPool, fresh: FunctionPool): Promise<void> | null {
    if (this.#closed || this.#byKey.get(old.spec.key) !== old) return null;
    const { sharing } = this.#options;
    fresh.upkeep.takeOver(old.upkeep);
    if (old.upkeep.active) sharing.reserve(fresh);
    sharing.forget(old);
    this.#beside.delete(fresh);
    this.#byKey.set(fresh.spec.key, fresh);
    this.#beside.add(old);
    return old.retire('its base definition has changed');
  }

  #make(spec: ModuleSpec, definition: BaseDefinition | undefined, where: Where): FunctionPool {
    if (this.#closed) throw new HearthError('NO_CAPACITY', 'Hearth is shutting down.', { retryAfterS: 5 });
    const { hooks, now, idleClock, take, unresponsive } = this.#options;
    return new FunctionPool({
      spec,
      definition,
      hooks,
      now,
      take: (wanted) => {
        if (definition !== undefined) return take(wanted, definition, where);
        return Promise.reject(new HearthError('NO_CAPACITY', `There is no base definition "${wanted.base}".`));
      },
      warmth: new Warmth({
        limits: limitsOf(spec),
        history: where === 'usual' ? this.#history(spec.functionName) : new IdleHistory(),
      }),
      ...(idleClock === undefined ? {} : { idleClock }),
      unresponsive,
      emptied: (empty) => {
        this.#beside.delete(empty);
        if (this.#byKey.get(spec.key) === empty) this.#byKey.delete(spec.key);
      },
    });
  }

  #history(functionName: string): IdleHistory {
    const history = this.#histories.get(functionName) ?? new IdleHistory();
    this.#histories.delete(functionName);
    this.#histories.set(functionName, history);
    const [oldest] = this.#histories.keys();
    if (this.#histories.size > HISTORIES_KEPT && oldest !== undefined) this.#histories.delete(oldest);
    return history;
  }

  /* ── what runs in them ── */

  /** Calls that wait in this pool of hosts. */
  waiting(of: string): number {
    let sum = 0;
    for (const pool of this.all()) if (pool.spec.pool === of) sum += pool.waiting;
    return sum;
  }

  /** The instances that stand in this host. */
  *occupants(host: HostProcess): Iterable<Occupant> {
    for (const pool of this.all()) {
      for (const instance of pool.instances) {
        if (!instance.placed || instance.base.host !== host || instance.state === 'gone') continue;
        yield {
          busy: instance.state !== 'ready' || instance.inFlight > 0,
          usedAt: instance.lastUsedAt,
          needed: pool.basesHeld <= pool.upkeep.leastBases,
          drain: (why) => instance.drain(why),
        };
      }
    }
  }
}
