/** `hearth.config` in `env`: the last snapshot of a configuration, followed as long as the module stands here. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { ConfigAnswer } from '../../../functions/contract/service-calls.ts';
import type { Config, ConfigSnapshot } from '../../../functions/contract/services.ts';
import { type BindingCalls, BindingError } from './call.ts';

/** Between two attempts while the gateway cannot answer. */
const LEAST_PAUSE_MS = 500;
const MOST_PAUSE_MS = 30_000;

/** The module has gone, or its base: nobody follows any more. */
const OVER = new Set(['LINK_CLOSED', 'FUNCTION_CRASHED', 'FORBIDDEN']);

type Listener = (snapshot: ConfigSnapshot) => void;

export class ConfigBinding implements Config {
  /** Once the first snapshot is there. Rejects with BindingError when it is not to be had. */
  readonly ready: Promise<void>;
  readonly #calls: BindingCalls;
  readonly #listeners = new Set<Listener>();
  #snapshot: ConfigSnapshot = { version: 0, values: {} };

  constructor(calls: BindingCalls) {
    this.#calls = calls;
    this.ready = this.#ask(null);
    this.ready.then(
      () => this.#follow(),
      () => undefined,
    );
  }

  get version(): number {
    return this.#snapshot.version;
  }

  get<Value = unknown>(key: string): Value | undefined {
    const { values } = this.#snapshot;
    return Object.hasOwn(values, key) ? (values[key] as Value) : undefined;
  }

  snapshot(): ConfigSnapshot {
    return this.#snapshot;
  }

  onChange(listener: Listener): () => void {
    const within = AsyncLocalStorage.snapshot();
    const call: Listener = (snapshot) => within(listener, snapshot);
    this.#listeners.add(call);
    return () => this.#listeners.delete(call);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ConfigSnapshot, void, undefined> {
    let seen: number | null = null;
    let wake: () => void = () => undefined;
    const end = this.onChange(() => wake());
    try {
      for (;;) {
        if (seen === this.version) await new Promise<void>((resolve) => (wake = resolve));
        else {
          seen = this.version;
          yield this.#snapshot;
        }
      }
    } finally {
      end();
    }
  }

  async #ask(version: number | null): Promise<void> {
    const { head, body } = await this.#calls.call<ConfigAnswer>({ op: 'config.watch', version }, null);
    const values = JSON.parse(Buffer.from(await body.bytes()).toString()) as Record<string, unknown>;
    if (head.version < this.version) return;
    this.#snapshot = freeze({ version: head.version, values });
    if (version === null) return;
    for (const listener of [...this.#listeners]) {
      try {
        listener(this.#snapshot);
      } catch (error) {
        console.error('A listener for changes of configuration threw:', error);
      }
    }
  }

  async #follow(): Promise<void> {
    for (let pauseMs = LEAST_PAUSE_MS; ; ) {
      try {
        await this.#ask(this.version);
        pauseMs = LEAST_PAUSE_MS;
      } catch (error) {
        if (error instanceof BindingError && OVER.has(error.code)) return;
        await new Promise((resolve) => setTimeout(resolve, pauseMs).unref());
        pauseMs = Math.min(2 * pauseMs, MOST_PAUSE_MS);
      }
    }
  }
}

/** What a module needs before it is evaluated; null: nothing. */
export function firstSnapshots(bindings: Readonly<Record<string, unknown>>): Promise<unknown> | null {
  const waited = Object.values(bindings).flatMap((each) => (each instanceof ConfigBinding ? [each.ready] : []));
  return waited.length === 0 ? null : Promise.all(waited);
}

/** One snapshot is for all who read it. */
function freeze<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value;
  for (const inner of Object.values(value)) freeze(inner);
  return Object.freeze(value);
}
