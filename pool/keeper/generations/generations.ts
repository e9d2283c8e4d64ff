/**
 * From one generation of a base definition to the next: proves versions on it before anything moves, then puts for each
 * version a pool on the new generation in the place of the one on the old, host after host. What still runs on the old
 * one comes to its end there.
 */
import { HearthError, toHearthError } from '../../../functions/contract/errors.ts';
import type { BaseGenerations, ModuleSpec, MoveOptions } from '../api.ts';
import type { BaseDefinition } from '../definition.ts';
import type { FunctionPool } from '../function-pool.ts';
import type { HostProcess } from '../hosts/host-process.ts';
import type { Fleet } from '../stock/fleet.ts';
import type { Definitions } from './definitions.ts';
import { askReady } from './ready-path.ts';

/** Where requests wait all the time, stock comes slowly: what is there by then has to do. */
const STOCK_MS = 10_000;
/** What streams for longer than that on one host does not hold up the next. */
const HOST_DRAIN_MS = 2_000;

export interface GenerationsOptions {
  definitions: Definitions;
  fleet: Pick<Fleet, 'hosts' | 'stocked' | 'clear' | 'refill'>;
  /** Pools that take calls. */
  functions(): Iterable<FunctionPool>;
  /** These, and those in which something still runs. */
  all(): Iterable<FunctionPool>;
  /** One more pool for this spec. It takes no calls until it is put in another's place. `where`: see keeper.ts. */
  make(spec: ModuleSpec, definition: BaseDefinition, where: 'usual' | 'proofs' | 'alone'): FunctionPool;
  /** The base in which ones of this group are proved is not used for more of them. */
  spoilt(spec: ModuleSpec, definition: BaseDefinition): void;
  /** It is not used after all. */
  discard(pool: FunctionPool, why: string): Promise<void>;
  /** Calls go to `fresh` from now on. Resolves when `old` has come to its end. Null: `old` took no calls any more. */
  swap(old: FunctionPool, fresh: FunctionPool): Promise<void> | null;
}

export class Generations implements BaseGenerations {
  readonly #options: GenerationsOptions;

  constructor(options: GenerationsOptions) {
    this.#options = options;
  }

  add(definition: BaseDefinition): void {
    this.#options.definitions.try(definition);
    this.#options.fleet.refill();
  }

  async prove(definition: BaseDefinition, spec: ModuleSpec, readyPath: string | null): Promise<void> {
    // Under names of its own: what it breaks here is held against neither it nor its group.
    const mark = `#${definition.generation ?? 1}`;
    const apart = { ...spec, key: `${spec.key}${mark}`, group: spec.group === null ? null : `${spec.group}${mark}` };
    try {
      if (apart.group !== null && (await this.#provedBesideOthers(definition, apart, readyPath))) return;
      await this.#prove(definition, apart, readyPath, 'alone');
    } catch (error) {
      const crashed = error instanceof HearthError && error.code === 'FUNCTION_CRASHED';
      throw crashed ? new HearthError('PROBE_FAILED', error.message, { cause: error }) : error;
    }
  }

  /** Hundreds of one group need no base each. False: it did not come up, which may be another's fault. */
  async #provedBesideOthers(definition: BaseDefinition, spec: ModuleSpec, readyPath: string | null): Promise<boolean> {
    try {
      await this.#prove(definition, spec, readyPath, 'proofs');
      return true;
    } catch (error) {
      this.#options.spoilt(spec, definition);
      // What the code itself threw it would throw again.
      if (error instanceof HearthError && error.functionStack !== undefined) throw error;
      return false;
    }
  }

  async #prove(
    definition: BaseDefinition,
    spec: ModuleSpec,
    readyPath: string | null,
    where: 'proofs' | 'alone',
  ): Promise<void> {
    const pool = this.#options.make(spec, definition, where);
    try {
      await pool.probe().loaded.promise;
      if (readyPath !== null) await askReady(pool, readyPath);
    } finally {
      void this.#options.discard(pool, 'it was proved on another generation of its base');
    }
  }

  prepare(definition: BaseDefinition): Promise<void> {
    this.#options.definitions.prepare(definition);
    return within(STOCK_MS, this.#options.fleet.stocked(definition));
  }

  async move(definition: BaseDefinition, options: MoveOptions): Promise<void> {
    // What has no instance now, and what is called for the first time, is on the new one at once.
    this.#options.definitions.use(definition);
    try {
      for (;;) {
        const stale = this.#stale(definition);
        options.progress?.(stale.length);
        if (stale.length === 0) return;
        const host = [...this.#options.fleet.hosts].find((candidate) =>
          stale.some((pool) => standsOn(pool, candidate)),
        );
        const together = host === undefined ? stale : stale.filter((pool) => standsOn(pool, host));
        const endings: Promise<void>[] = [];
        for (const pool of together) endings.push((await this.#replace(pool, definition, options)).ended);
        await within(HOST_DRAIN_MS, Promise.all(endings));
      }
    } finally {
      this.tidy();
    }
  }

  drop(definition: BaseDefinition): void {
    this.#options.definitions.leave(definition);
    this.tidy();
  }

  /** Ends what is left of generations that nothing needs any more. Call it now and then. */
  tidy(): void {
    const { definitions, fleet } = this.#options;
    const { left } = definitions;
    if (left.length === 0) return;
    const held = new Set([...this.#options.all()].map((pool) => pool.definition));
    for (const definition of left) {
      const cleared = fleet.clear(definition, 'its base definition has changed');
      if (cleared && !held.has(definition)) definitions.forget(definition);
    }
  }

  #stale(definition: BaseDefinition): FunctionPool[] {
    return [...this.#options.functions()].filter(
      (pool) => pool.definition !== definition && pool.spec.base === definition.name,
    );
  }

  /** As many instances as there were first, so that its callers notice nothing. `ended`: nothing of the old one runs. */
  async #replace(
    old: FunctionPool,
    definition: BaseDefinition,
    { required, unloaded }: MoveOptions,
  ): Promise<{ ended: Promise<void> }> {
    const fresh = this.#options.make(old.spec, definition, 'usual');
    if (old.live > 0) {
      try {
        await fresh.fill(old.live);
      } catch (error) {
        // With the pool full, what ends on the old one makes the room; until then calls wait for it.
        const full = error instanceof HearthError && error.code === 'NO_CAPACITY';
        if (!full && required(old.spec)) {
          void this.#options.discard(fresh, 'it did not load');
          throw error;
        }
        unloaded?.(old.spec, toHearthError(error));
      }
    }
    const ended = this.#options.swap(old, fresh);
    return { ended: ended ?? this.#options.discard(fresh, 'its function was replaced meanwhile') };
  }
}

function standsOn(pool: FunctionPool, host: HostProcess): boolean {
  for (const instance of pool.instances) if (instance.placed && instance.base.host === host) return true;
  return false;
}

/** Resolves when it is done or the time is over; rejects with it. */
async function within(ms: number, done: Promise<unknown>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([done, late]).finally(() => clearTimeout(timer));
}
