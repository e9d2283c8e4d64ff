/** An ingress over a dispatcher whose functions are scripts of the test, with credit as the link has it. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { HearthError } from '../../../functions/contract/errors.ts';
import type { HeaderList, HttpInvokeHead, HttpResponseHead } from '../../../functions/contract/invocation.ts';
import type { InvokeFacts } from '../../../pool/keeper/api.ts';
import { createRates } from '../../rates.ts';
import type { FunctionEntry, RouteMatch, VersionEntry } from '../../registry/registry.ts';
import { createLogger } from '../../telemetry/log.ts';
import type { CallContext, Dispatched, DispatchSink, TriggerHead } from '../../triggers/dispatcher.ts';
import { createAccessCheck } from '../access.ts';
import type { KeySets } from '../key-sets.ts';
import type { OverrideCheck } from '../override.ts';
import { createIngress, type Ingress, type IngressConfig } from '../server.ts';

export const FACTS: InvokeFacts = {
  start: 'warm',
  instance: 'base-1',
  host: 'host-1',
  phases: { wait: 0.05, run: 0.4125 },
  arrivedAtMs: 0,
  // Later than any answer: nothing is added to `run`.
  headAt: Number.MAX_SAFE_INTEGER,
  attempt: 1,
};

export type HttpHead = Pick<HttpInvokeHead, 'method' | 'url' | 'headers' | 'hasBody' | 'upgrade' | 'remoteAddress'>;

/** One invocation as the script sees it. */
export class ScriptedCall implements Dispatched {
  readonly invocationId = '0123456789abcdef';
  readonly version: VersionEntry;
  readonly request: HttpHead;
  readonly context: CallContext;
  readonly sink: DispatchSink;
  readonly received: Buffer[] = [];
  /** `write` answers false while this many received bytes were not taken. */
  highBytes = Number.POSITIVE_INFINITY;
  consumedBytes = 0;
  bodyEnded = false;
  aborted: string | null = null;
  readonly #waiters = new Set<() => void>();

  constructor(version: VersionEntry, request: HttpHead, context: CallContext, sink: DispatchSink) {
    this.version = version;
    this.request = request;
    this.context = context;
    this.sink = sink;
  }

  get receivedBytes(): number {
    return this.received.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  }

  get body(): string {
    return Buffer.concat(this.received).toString();
  }

  header(name: string): string | undefined {
    return this.request.headers.find((header) => header[0] === name)?.[1];
  }

  respond(status: number, headers: HeaderList = [], body: string | Uint8Array | null = null): void {
    this.head(status, headers);
    if (body !== null) this.sink.data(Buffer.from(body));
    this.sink.end();
  }

  head(status: number, headers: HeaderList = [], more: Partial<HttpResponseHead> = {}, facts = FACTS): void {
    const head = { kind: 'response', status, statusText: '', headers, waiting: false, webSocket: false, calledAt: 0 };
    this.sink.head({ ...head, ...more } as HttpResponseHead, facts);
  }

  /** Resolves once the condition holds; looked at whenever something happened to this call. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiters.add(resolve));
  }

  write(chunk: Uint8Array): boolean {
    this.received.push(Buffer.from(chunk));
    this.#changed();
    return this.receivedBytes < this.highBytes;
  }

  end(): void {
    this.bodyEnded = true;
    this.#changed();
  }

  consumed(bytes: number): void {
    this.consumedBytes += bytes;
    this.#changed();
  }

  abort(reason: string): void {
    this.aborted ??= reason;
    this.#changed();
  }

  #changed(): void {
    for (const resolve of this.#waiters) resolve();
    this.#waiters.clear();
  }
}

export type Script = (call: ScriptedCall) => unknown;

export interface Scripted extends AsyncDisposable {
  readonly ingress: Ingress;
  readonly url: string;
  readonly port: number;
  /** All invocations so far. */
  readonly calls: ScriptedCall[];
  /** Resolves with the next invocation that begins. */
  next(): Promise<ScriptedCall>;
  /** What was logged. */
  readonly lines: string[];
  /** Sends these bytes and resolves with all that came back until the connection ended. */
  raw(text: string): Promise<string>;
  connect(): Promise<Socket>;
}

export interface ScriptedOptions {
  config?: Partial<IngressConfig>;
  /** Replaces the route table: `/hello`, `hello.localhost` and `example.com`. */
  route?: (host: string, path: string) => RouteMatch | undefined;
  handlers?: string[];
  auth?: unknown;
  vars?: Record<string, string>;
  mayOverride?: OverrideCheck;
  keySets?: KeySets;
  rateLimit?: unknown;
  /** Of the rate limit. */
  now?: () => number;
  /** ScriptedCall.highBytes at first. */
  highBytes?: number;
}

const noKeySets: KeySets = {
  keys: () => Promise.reject(new HearthError('NO_CAPACITY', 'There are no keys here.')),
  renewed: () => Promise.resolve(null),
};

export async function startScripted(script: Script, options: ScriptedOptions = {}): Promise<Scripted> {
  const version = {
    record: { functionName: 'hello', version: 'v1', handlers: options.handlers ?? ['fetch'] },
    manifest: { hearth: { auth: options.auth ?? null, rateLimit: options.rateLimit, trustGroup: 'default' } },
    spec: { functionName: 'hello', version: 'v1', vars: options.vars ?? {} },
  } as unknown as VersionEntry;
  const entry = {
    record: { name: 'hello' },
    active: version,
    plan: { single: 'v1', needsBody: false },
  } as unknown as FunctionEntry;
  const route = (host: string, path: string): RouteMatch | undefined => {
    if (host === 'hello.localhost' || host === 'example.com') return { entry, prefix: null, splits: null };
    if (path === '/hello' || path.startsWith('/hello/')) return { entry, prefix: '/hello', splits: null };
    if (path === '/inactive') return { entry: { ...entry, active: undefined }, prefix: '/inactive', splits: null };
    return undefined;
  };
  const rates = createRates(options.now ?? Date.now);
  const calls: ScriptedCall[] = [];
  const lines: string[] = [];
  let arrived: (() => void) | null = null;
  const ingress = createIngress({
    registry: { route: options.route ?? route },
    dispatcher: {
      dispatch(_entry, active, head: TriggerHead, context, sink) {
        const call = new ScriptedCall(active, head as HttpHead, context, sink);
        call.highBytes = options.highBytes ?? call.highBytes;
        calls.push(call);
        arrived?.();
        setImmediate(async () => {
          try {
            await script(call);
          } catch (error) {
            sink.failed(new HearthError('FUNCTION_EXCEPTION', `The script threw: ${error}`), FACTS);
          }
        });
        return call;
      },
    },
    mayOverride: options.mayOverride ?? (() => new HearthError('FORBIDDEN', 'Nobody may.')),
    assets: { serve: () => false },
    access: createAccessCheck({ keySets: options.keySets ?? noKeySets, rates, now: Date.now }),
    config: { host: '127.0.0.1', port: 0, maxBodyBytes: 1024 * 1024, trustProxy: [], ...options.config },
    log: createLogger({ level: 'trace', pretty: false, write: (line) => lines.push(line) }),
  });
  const { port } = await ingress.listen();
  return {
    ingress,
    url: `http://127.0.0.1:${port}`,
    port,
    calls,
    lines,
    async next() {
      await new Promise<void>((resolve) => {
        arrived = resolve;
      });
      return calls.at(-1) as ScriptedCall;
    },
    async raw(text) {
      const socket = connect(port, '127.0.0.1');
      const chunks: Buffer[] = [];
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      socket.on('error', () => socket.destroy());
      socket.write(text, 'latin1');
      await once(socket, 'close');
      return Buffer.concat(chunks).toString('latin1');
    },
    async connect() {
      const socket = connect(port, '127.0.0.1');
      await once(socket, 'connect');
      return socket;
    },
    async [Symbol.asyncDispose]() {
      ingress.close();
    },
  };
}
