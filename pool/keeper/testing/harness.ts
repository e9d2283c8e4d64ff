/** A real keeper with real hosts and bases, and modules made from source text. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import type { HearthError } from '../../../functions/contract/errors.ts';
import type { BindingCallHead, BindingSpec, LogLine, ResultHead } from '../../../functions/contract/invocation.ts';
import type { Exchange } from '../../link/link.ts';
import type {
  InvokeCall,
  InvokeFacts,
  InvokeHandle,
  InvokeSink,
  Keeper,
  ModuleLimits,
  ModuleSpec,
  PoolEvent,
} from '../api.ts';
import type { BaseDefinition } from '../definition.ts';
import { createKeeper } from '../keeper.ts';
import type { FleetSettings } from '../settings.ts';
import { LIMITS } from './limits.ts';

export interface Harness {
  keeper: Keeper;
  events: PoolEvent[];
  logs: LogLine[];
  /**
   * Resolves with the first event that fits, past or to come. To look at a state take `until`. Like it and `logged`,
   * rejects when that does not come to pass.
   */
  event(fits: (event: PoolEvent) => boolean): Promise<PoolEvent>;
  /** Resolves once this holds. Looked at again and again: not everything that a snapshot shows makes an event. */
  until(holds: () => boolean): Promise<void>;
  /** Resolves with the first log line that holds this text. */
  logged(text: string): Promise<LogLine>;
  onBinding: (spec: ModuleSpec, call: BindingCallHead, exchange: Exchange) => void;
}

/** Between two looks of `until`. */
const LOOK_MS = 10;
/** What has not come to pass by then will not: far longer than anything takes on a slow machine. */
const PATIENCE_MS = 90_000;

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

export async function startKeeper(
  t: TestContext,
  settings: Partial<FleetSettings> = {},
  idleClock?: () => number,
  more: BaseDefinition[] = [],
): Promise<Harness> {
  const runDir = mkdtempSync(path.join(os.tmpdir(), 'hearth-keeper-'));
  const watchers = new Set<() => void>();
  const wake = () => {
    for (const watcher of [...watchers]) watcher();
  };
  /** Ends what waits when the test does, too. `stop` ends its looking. */
  const patiently = <T>(
    what: string,
    begin: (resolve: (found: T) => void, reject: (error: unknown) => void) => () => void,
  ) =>
    new Promise<T>((resolve, reject) => {
      const end = () => {
        clearTimeout(late);
        stop();
      };
      const late = setTimeout(() => {
        end();
        reject(new Error(`Not within ${PATIENCE_MS / 1000} s: ${what}`));
      }, PATIENCE_MS);
      const stop = begin(
        (found) => {
          end();
          resolve(found);
        },
        (error) => {
          end();
          reject(error);
        },
      );
      t.after(end);
    });
  const first = <T>(what: string, find: () => T | undefined): Promise<T> =>
    patiently(what, (resolve) => {
      const look = () => {
        const found = find();
        if (found !== undefined) resolve(found);
      };
      watchers.add(look);
      setImmediate(look);
      return () => watchers.delete(look);
    });
  const harness: Harness = {
    keeper: undefined as unknown as Keeper,
    events: [],
    logs: [],
    event: (fits) => first(`event ${fits}`, () => harness.events.find(fits)),
    until: (holds) =>
      patiently(String(holds), (resolve, reject) => {
        const look = setInterval(() => {
          try {
            if (holds()) resolve();
          } catch (error) {
            reject(error);
          }
        }, LOOK_MS);
        return () => clearInterval(look);
      }),
    logged: (text) => first(`log line "${text}"`, () => harness.logs.find((line) => line.message.includes(text))),
    onBinding: (_spec, _call, exchange) => exchange.cancel({ code: 'NOT_FOUND', message: 'no bindings here' }),
  };
  harness.keeper = await createKeeper({
    definitions: [{ name: 'default', shared: [], setupPath: null, env: {} }, ...more],
    settings: {
      warmBases: 2,
      maxBases: 64,
      basesPerHost: 4,
      heapLimitMb: 4096,
      memoryMb: 16_384,
      sandbox: null,
      stockNetwork: 'all',
      pools: {},
      ...settings,
    },
    runDir,
    hooks: {
      binding: (spec, call, exchange) => harness.onBinding(spec, call, exchange),
      log: (_spec, _instance, lines) => {
        harness.logs.push(...lines);
        wake();
      },
      event: (event) => {
        harness.events.push(event);
        wake();
      },
      spans: () => undefined,
      direct: () => undefined,
      acquired: () => undefined,
    },
    now: Date.now,
    log: SILENT,
    ...(idleClock === undefined ? {} : { idleClock }),
  });
  t.after(() => harness.keeper.drain(0));
  await harness.keeper.start();
  return harness;
}

export interface SpecOptions {
  name?: string;
  base?: string;
  trustGroup?: string;
  network?: 'all' | 'none';
  pool?: string;
  group?: string;
  version?: string;
  bindings?: BindingSpec[];
  vars?: Record<string, string>;
  limits?: Partial<ModuleLimits>;
  files?: { path: string; bytes: Uint8Array }[];
}

/** `source` is CommonJS: it assigns to `exports`. */
export function moduleOf(source: string, options: SpecOptions = {}): ModuleSpec {
  const name = options.name ?? `f-${randomUUID().slice(0, 8)}`;
  const image = { format: 'cjs' as const, code: Buffer.from(source), codeCache: null, files: options.files ?? [] };
  return {
    key: `${name}@${options.version ?? '1'}+0`,
    functionName: name,
    version: options.version ?? '1',
    base: options.base ?? 'default',
    trustGroup: options.trustGroup ?? 'default',
    network: options.network ?? 'all',
    group: options.group ?? null,
    pool: options.pool ?? 'default',
    limits: { ...LIMITS, ...options.limits },
    image: () => image,
    vars: options.vars ?? {},
    jsonVars: {},
    bindings: options.bindings ?? [],
  };
}

/** A module whose fetch handler has this body; it sees `request, env, ctx`. */
export function fetchModule(body: string, options: SpecOptions = {}): ModuleSpec {
  return moduleOf(`exports.default = { async fetch(request, env, ctx) { ${body} } };`, options);
}

export interface Answer {
  status: number;
  text: string;
  facts: InvokeFacts;
}

/** A call under way: its moments as promises. */
export class Call implements InvokeSink {
  readonly handle: InvokeHandle;
  readonly answer = Promise.withResolvers<Answer>();
  readonly headSeen = Promise.withResolvers<ResultHead>();
  readonly done = Promise.withResolvers<void>();
  readonly #chunks: Uint8Array[] = [];
  #head: { head: ResultHead; facts: InvokeFacts } | null = null;

  /** `open`: its body is not at its end before `handle.end()` is called. */
  constructor(
    keeper: Keeper,
    spec: ModuleSpec,
    request: { method?: string; path?: string; body?: string; open?: boolean } = {},
  ) {
    this.answer.promise.catch(() => undefined);
    this.headSeen.promise.catch(() => undefined);
    this.handle = keeper.invoke(spec, httpCall(request), this);
    if (request.body !== undefined) this.handle.write(Buffer.from(request.body));
    if (request.open !== true) this.handle.end();
  }
  head(head: ResultHead, facts: InvokeFacts): void {
    this.#head = { head, facts };
    this.headSeen.resolve(head);
  }
  data(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.handle.consumed(chunk.length);
  }
  end(): void {
    const { head, facts } = this.#head as { head: ResultHead; facts: InvokeFacts };
    const status = head.kind === 'response' ? head.status : 0;
    this.answer.resolve({ status, facts, text: Buffer.concat(this.#chunks).toString() });
  }
  failed(error: HearthError): void {
    this.answer.reject(error);
    this.headSeen.reject(error);
  }
  drain(): void {
    return;
  }
  released(): void {
    this.done.resolve();
  }
}

export function ask(
  keeper: Keeper,
  spec: ModuleSpec,
  request: { method?: string; path?: string; body?: string } = {},
): Promise<Answer> {
  return new Call(keeper, spec, request).answer.promise;
}

function httpCall(request: { method?: string; path?: string; body?: string; open?: boolean }): InvokeCall {
  return {
    kind: 'invoke',
    trigger: 'http',
    invocationId: randomUUID(),
    hops: 0,
    traceparent: `00-${randomUUID().replaceAll('-', '')}-00f067aa0ba902b7-00`,
    method: request.method ?? (request.body === undefined ? 'GET' : 'POST'),
    url: `http://test.localhost${request.path ?? '/'}`,
    headers: [['host', 'test.localhost']],
    hasBody: request.body !== undefined || request.open === true,
    upgrade: false,
    remoteAddress: '127.0.0.1',
  };
}
