/**
 * Gateways that fire crons over one store, in a time made by hand: a clock that is set, gateways that are killed or stand
 * still, runs that end when the test says so. What they get the store to do is noted.
 */
import type { Keeper } from '../../../../pool/keeper/api.ts';
import type { Registry } from '../../../registry/registry.ts';
import type { CronClaim, CronStore } from '../../../store/api/crons.ts';
import { cronsDomain } from '../../../store/sqlite/crons.ts';
import { type Database, openDatabase } from '../../../store/sqlite/database.ts';
import type { Dispatcher } from '../../dispatcher.ts';
import { ManualClock, SILENT, START_MS } from '../../testing/harness.ts';
import { type Crons, createCrons } from '../crons.ts';

export interface Settings {
  missed: 'skip' | 'once' | 'all';
  overlap: 'skip' | 'allow' | 'queue';
}

/** A run that a gateway has called its function for. */
export interface Call {
  gateway: Gateway;
  invocationId: string;
  dueAt: number;
  /** Its function answers. */
  end(): void;
}

export interface Watcher {
  claimed(claim: CronClaim, gateway: Gateway): void;
  takenOver(run: { invocationId: string; dueAt: number; attempt: number }, gateway: Gateway): void;
  ended(invocationId: string, accepted: boolean, gateway: Gateway): void;
}

/** The SQL of the embedded store, in memory and without its thread: what is tried here is not how it is written down. */
export function openMemoryCrons(): { store: CronStore; database: Database } {
  const database = openDatabase({ path: ':memory:', maxBytes: null });
  const domain = cronsDomain(database);
  const store: CronStore = {
    list: async (...args) => domain.list(...args),
    replace: async (...args) => domain.replace(...args),
    claim: async (...args) => domain.claim(...args),
    extend: async (...args) => domain.extend(...args),
    takeOver: async (...args) => domain.takeOver(...args),
    finish: async (...args) => domain.finish(...args),
    setPaused: async (...args) => domain.setPaused(...args),
  };
  return { store, database };
}

export class World {
  /** Time that passes, whatever clocks show. */
  readonly passing = new ManualClock(0);
  clockMs = START_MS;
  readonly calls: Call[] = [];
  /** Runs end at once. */
  auto = false;
  readonly store: CronStore;
  readonly #expressions: readonly string[];
  readonly #settings: Settings;
  readonly #watcher: Watcher;
  readonly #listeners = new Set<(name: string) => void>();
  readonly #feed = new Set<() => void>();
  #pending = 0;
  #ids = 0;

  constructor(store: CronStore, expressions: readonly string[], settings: Settings, watcher: Watcher) {
    this.store = store;
    this.#expressions = expressions;
    this.#settings = settings;
    this.#watcher = watcher;
  }

  readonly now = (): number => this.clockMs + this.passing.now();

  /** Lets time pass, and then everything that follows from it. */
  async pass(ms: number): Promise<void> {
    this.passing.advance(ms);
    await this.settle();
  }

  /** Until nothing is under way but runs, and time. */
  async settle(): Promise<void> {
    do await new Promise(setImmediate);
    while (this.#pending > 0);
  }

  async start(owner: string): Promise<Gateway> {
    const gateway = new Gateway();
    gateway.crons = createCrons({
      store: this.#storeOf(gateway),
      changes: {
        listen: (changed) => {
          const own = () => gateway.deliver(() => changed([{ kind: 'cron', name: 'f' }]));
          this.#feed.add(own);
          return () => this.#feed.delete(own);
        },
      },
      owner,
      registry: this.#registry(gateway),
      dispatcher: { call: this.#call(gateway) },
      keeper: { prewarm: () => undefined } satisfies Pick<Keeper, 'prewarm'>,
      now: this.now,
      timers: { after: (ms, call) => this.passing.after(ms, () => gateway.deliver(call)) },
      newId: () => `run-${++this.#ids}`,
      log: SILENT,
    });
    await gateway.crons.start();
    await this.settle();
    return gateway;
  }

  /** The same manifest once more. */
  async deploy(): Promise<void> {
    for (const listener of this.#listeners) listener('f');
    await this.settle();
  }

  endAll(): void {
    for (const call of this.calls.slice()) call.end();
  }

  #storeOf(gateway: Gateway): CronStore {
    const { store } = this;
    const watcher = this.#watcher;
    const through =
      <Args extends unknown[], Result>(
        method: (...args: Args) => Promise<Result>,
        note?: (result: Result, args: Args) => void,
      ) =>
      async (...args: Args): Promise<Result> => {
        // A process that is gone asks nothing, and hears no answer.
        if (gateway.state === 'dead') return new Promise(() => undefined);
        this.#pending += 1;
        try {
          const result = await method(...args);
          note?.(result, args);
          return result;
        } finally {
          this.#pending -= 1;
        }
      };
    return {
      list: through(store.list),
      replace: through(store.replace),
      extend: through(store.extend),
      setPaused: through(store.setPaused, () => {
        for (const tell of this.#feed) tell();
      }),
      claim: through(store.claim, (answers, [claims]) => {
        for (const [i, claim] of claims.entries()) {
          if (answers[i]?.state === 'claimed') watcher.claimed(claim, gateway);
        }
      }),
      takeOver: through(store.takeOver, (runs) => {
        for (const run of runs) watcher.takenOver(run, gateway);
      }),
      finish: through(store.finish, (refused, [ends]) => {
        for (const { invocationId } of ends) watcher.ended(invocationId, !refused.includes(invocationId), gateway);
      }),
    };
  }

  #registry(gateway: Gateway): Registry {
    const active = { manifest: { hearth: { timezone: 'UTC', ...this.#settings } }, spec: {} };
    const entry = { record: { name: 'f' }, active, pick: () => active };
    const written = this.#expressions.map((cron) => ({ cron, expression: cron }));
    const registry = {
      function: () => entry,
      functions: () => [entry],
      crons: () => written,
      onChange: (listener: (name: string) => void) => {
        const own = (name: string) => gateway.deliver(() => listener(name));
        this.#listeners.add(own);
        return () => this.#listeners.delete(own);
      },
    };
    return registry as unknown as Registry;
  }

  #call(gateway: Gateway): Dispatcher['call'] {
    return (_entry, _version, head, _context, _body, options) =>
      new Promise((resolve, reject) => {
        const remove = () => {
          const at = this.calls.indexOf(call);
          if (at >= 0) this.calls.splice(at, 1);
        };
        const call: Call = {
          gateway,
          invocationId: options?.invocationId ?? '',
          dueAt: head.trigger === 'cron' ? head.scheduledTime : Number.NaN,
          end: () => {
            remove();
            gateway.deliver(() => resolve({} as Awaited<ReturnType<Dispatcher['call']>>));
          },
        };
        this.calls.push(call);
        options?.signal?.addEventListener('abort', () => {
          remove();
          reject(options.signal?.reason);
        });
        if (this.auto) call.end();
      });
  }
}

export class Gateway {
  state: 'runs' | 'stands still' | 'dead' = 'runs';
  crons: Crons = undefined as unknown as Crons;
  readonly #missed: (() => void)[] = [];

  /** Something reaches the process: at once, when it goes on, or never. */
  deliver(work: () => void): void {
    if (this.state === 'runs') work();
    else if (this.state === 'stands still') this.#missed.push(work);
  }

  kill(): void {
    this.state = 'dead';
  }

  stop(): void {
    this.state = 'stands still';
  }

  goOn(order: 'oldest first' | 'newest first' = 'oldest first'): void {
    this.state = 'runs';
    const missed = this.#missed.splice(0);
    for (const work of order === 'oldest first' ? missed : missed.reverse()) work();
  }
}
