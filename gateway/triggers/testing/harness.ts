/** For tests of triggers and bindings: a clock moved by hand, a keeper that answers by script, real store and registry. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { HearthError, toHearthError } from '../../../functions/contract/errors.ts';
import type { ResultHead } from '../../../functions/contract/invocation.ts';
import type { ManifestInput } from '../../../functions/contract/manifest.ts';
import { parseManifestValue } from '../../../functions/contract/manifest-file.ts';
import type {
  InvokeCall,
  InvokeFacts,
  InvokeHandle,
  InvokeSink,
  Keeper,
  ModuleSpec,
} from '../../../pool/keeper/api.ts';
import { createRegistry } from '../../registry/memory.ts';
import type { Registry } from '../../registry/registry.ts';
import { createSeal } from '../../store/seal.ts';
import { openSqliteStore } from '../../store/sqlite/client.ts';
import type { Store } from '../../store/store.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { FinishedInvocation, Telemetry } from '../../telemetry/telemetry.ts';
import { createDispatcher } from '../dispatch.ts';
import type { Dispatcher } from '../dispatcher.ts';
import { createIdMaker } from '../ids.ts';
import type { Timers } from '../timers.ts';

export const SILENT: Logger = {
  trace: () => undefined,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => SILENT,
};

export class ManualClock implements Timers {
  nowMs: number;
  private readonly pending = new Set<{ at: number; call: () => void }>();

  constructor(nowMs: number) {
    this.nowMs = nowMs;
  }

  readonly now = (): number => this.nowMs;

  after(ms: number, call: () => void): () => void {
    const timer = { at: this.nowMs + ms, call };
    this.pending.add(timer);
    return () => this.pending.delete(timer);
  }

  /** Moves the time on, and calls what comes due on the way in its order. */
  advance(ms: number): void {
    const until = this.nowMs + ms;
    for (;;) {
      let next: { at: number; call: () => void } | null = null;
      for (const timer of this.pending) if (timer.at <= until && (next === null || timer.at < next.at)) next = timer;
      if (next === null) break;
      this.pending.delete(next);
      this.nowMs = Math.max(this.nowMs, next.at);
      next.call();
    }
    this.nowMs = until;
  }

  /** Sets the clock without calling anything: the process slept, or was not there. */
  jump(ms: number): void {
    this.nowMs += ms;
  }

  get timers(): number {
    return this.pending.size;
  }
}

/** One thing after another, for whoever waits for it. */
export class Stream<Item> {
  private readonly items: Item[] = [];
  private readonly waiting: ((item: Item) => void)[] = [];

  push(item: Item): void {
    const next = this.waiting.shift();
    if (next === undefined) this.items.push(item);
    else next(item);
  }

  next(): Promise<Item> {
    const item = this.items.shift();
    if (item !== undefined) return Promise.resolve(item);
    return new Promise((resolve) => {
      this.waiting.push(resolve);
    });
  }

  /** What has come and nobody asked for. */
  get left(): number {
    return this.items.length;
  }
}

/** An invocation that reached the scripted keeper; the test decides how it ends. */
export interface Invoked {
  spec: ModuleSpec;
  call: InvokeCall;
  body: () => Buffer;
  bodyEnded: () => boolean;
  aborted: () => string | null;
  consumed: () => number;
  sink: InvokeSink;
  facts: InvokeFacts;
  /** Answers whole and frees the slot. */
  answer(head: ResultHead, body?: Uint8Array): void;
  fail(error: HearthError): void;
}

export class ScriptedKeeper implements Pick<Keeper, 'invoke' | 'prewarm'> {
  readonly invoked = new Stream<Invoked>();
  readonly prewarmed: { spec: ModuleSpec; keepMs: number }[] = [];
  /** Answers each at once instead of leaving it to the test. */
  auto: ((invoked: Invoked) => void) | null = null;
  /** What `write` answers. */
  takes = true;
  private count = 0;

  prewarm(spec: ModuleSpec, keepMs: number): void {
    this.prewarmed.push({ spec, keepMs });
  }

  invoke(spec: ModuleSpec, call: InvokeCall, sink: InvokeSink): InvokeHandle {
    const chunks: Uint8Array[] = [];
    let ended = false;
    let aborted: string | null = null;
    let consumed = 0;
    this.count += 1;
    const facts: InvokeFacts = {
      start: this.count === 1 ? 'cold' : 'warm',
      instance: 'base-1',
      host: 'host-1',
      phases: { wait: 1, run: 2 },
      arrivedAtMs: 1000,
      headAt: 0,
      attempt: 1,
    };
    const invoked: Invoked = {
      spec,
      call,
      body: () => Buffer.concat(chunks),
      bodyEnded: () => ended,
      aborted: () => aborted,
      consumed: () => consumed,
      sink,
      facts,
      answer: (head, body) => {
        sink.head(head, facts);
        if (body !== undefined) sink.data(body);
        sink.end();
        sink.released();
      },
      fail: (error) => {
        sink.failed(error, null);
        sink.released();
      },
    };
    const handle: InvokeHandle = {
      write: (chunk) => {
        chunks.push(chunk);
        return this.takes;
      },
      end: () => {
        if (ended) throw new Error('end was called twice');
        ended = true;
        if (this.auto !== null) queueMicrotask(() => this.auto?.(invoked));
      },
      consumed: (bytes) => {
        consumed += bytes;
      },
      abort: (reason) => {
        aborted ??= reason;
        sink.released();
      },
    };
    this.invoked.push(invoked);
    return handle;
  }
}

export function fakeTelemetry(): Pick<Telemetry, 'begin' | 'traceparent' | 'finished'> & {
  done: FinishedInvocation[];
} {
  const done: FinishedInvocation[] = [];
  let count = 0;
  return {
    done,
    begin: (traceparent) => {
      count += 1;
      const traceId = traceparent?.slice(3, 35) ?? count.toString(16).padStart(32, '0');
      const parentSpanId = traceparent?.slice(36, 52) ?? null;
      return { traceId, parentSpanId, serverSpanId: 'a'.repeat(16), invokeSpanId: 'b'.repeat(16), sampled: true };
    },
    traceparent: ({ traceId, invokeSpanId }) => `00-${traceId}-${invokeSpanId}-01`,
    finished: (invocation) => done.push(invocation),
  };
}

export async function openStore(t: TestContext): Promise<Store> {
  const dir = await mkdtemp(join(tmpdir(), 'hearth-triggers-'));
  const store = await openSqliteStore({ path: join(dir, 'hearth.db'), log: SILENT });
  t.after(async () => {
    await store.close();
    await rm(dir, { recursive: true, force: true });
  });
  return store;
}

export async function openRegistry(store: Store, now?: () => number): Promise<Registry> {
  return createRegistry({
    store,
    seal: createSeal([Buffer.alloc(32, 7)]),
    defaults: { network: 'all' },
    log: SILENT,
    cacheKeyOf: () => 'none',
    ...(now === undefined ? {} : { now }),
  });
}

let versions = 0;

/** Stores and activates a version; `source` is CommonJS. */
export async function deploy(
  registry: Registry,
  name: string,
  manifest: ManifestInput = {},
  source = 'exports.default = { fetch: () => new Response("ok") };',
): Promise<void> {
  versions += 1;
  const record = {
    functionName: name,
    version: `v${versions}`,
    manifest: parseManifestValue(manifest, name),
    format: 'cjs' as const,
    handlers: ['fetch' as const],
    sizeBytes: source.length,
    provided: [],
    createdAt: 0,
  };
  await registry.addVersion(record, { code: Buffer.from(source), sourceMap: null, files: [], codeCache: null }, true);
}

export interface Rig {
  clock: ManualClock;
  keeper: ScriptedKeeper;
  telemetry: ReturnType<typeof fakeTelemetry>;
  dispatcher: Dispatcher;
  store: Store;
  registry: Registry;
  newId: () => string;
}

/** 2026-01-01T00:00:00Z, a Thursday. */
export const START_MS = Date.UTC(2026, 0, 1);

export async function openRig(t: TestContext): Promise<Rig> {
  const clock = new ManualClock(START_MS);
  const keeper = new ScriptedKeeper();
  const telemetry = fakeTelemetry();
  const newId = createIdMaker(clock.now);
  const store = await openStore(t);
  const registry = await openRegistry(store, clock.now);
  const dispatcher = createDispatcher({
    keeper,
    telemetry,
    now: clock.now,
    newId,
    log: SILENT,
    functionFailed: () => undefined,
  });
  return { clock, keeper, telemetry, dispatcher, store, registry, newId };
}

export async function rejection(promise: Promise<unknown>): Promise<HearthError> {
  const failed = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  if (failed === null) throw new Error('It did not reject.');
  if (!(failed instanceof HearthError)) throw toHearthError(failed).cause ?? failed;
  return failed;
}

/** Lets everything that is under way come to rest: each round passes behind what the store was asked before. */
export async function settle(store: Store): Promise<void> {
  for (let round = 0; round < 16; round++) {
    await store.crons.list();
    await new Promise(setImmediate);
  }
}
