/**
 * A base run for real: bundled as in production, in a worker thread under the same flags, with a gateway's end of the
 * link on a Unix socket in the hands of the test.
 */
import { once } from 'node:events';
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { build } from 'esbuild';
import type {
  BaseEvent,
  BindingCallHead,
  HeaderList,
  HttpInvokeHead,
  HttpResponseHead,
  InvokeHead,
  LoadedHead,
  LoadHead,
} from '../../../functions/contract/invocation.ts';
import { connectLink } from '../../link/connection.ts';
import type { Exchange, ExchangeHandler, Link, LinkError } from '../../link/link.ts';
import { concat } from '../body.ts';
import type { Gauges } from '../gauge.ts';
import type { BaseTask } from '../task.ts';

export interface BaseOptions {
  shared?: BaseTask['shared'];
  /** Source of a setup module (CommonJS). */
  setup?: string;
  env?: Record<string, string>;
  /** Those of a host: by them the base is watched, and told to collect its garbage. */
  gauges?: Gauges;
  /** Answers what modules ask of their bindings. */
  binding?: (call: BindingCallHead, exchange: Exchange) => void;
}

let bundled: Promise<string> | null = null;

/** The base's bundle, made once for all tests of a file. */
function bundle(): Promise<string> {
  bundled ??= build({
    entryPoints: [join(import.meta.dirname, 'entry.ts')],
    bundle: true,
    write: false,
    platform: 'node',
    target: 'node26',
    format: 'cjs',
    logLevel: 'silent',
  }).then((result) => result.outputFiles[0]!.text);
  return bundled;
}

/** What came back on one exchange. */
export interface Answer<Head> {
  head: Head;
  body: Uint8Array;
  text: string;
}

/** One exchange the test opened, with everything that was heard on it. */
export class Call<Head = HttpResponseHead> implements ExchangeHandler {
  readonly answered = Promise.withResolvers<Head>();
  readonly ended = Promise.withResolvers<LinkError | null>();
  readonly chunks: Uint8Array[] = [];
  readonly drained: (() => void)[] = [];
  /** False: received bytes are not given back as credit. */
  consume = true;
  exchange!: Exchange;
  #more = Promise.withResolvers<void>();

  constructor() {
    this.answered.promise.catch(() => undefined);
  }

  head(head: unknown): void {
    this.answered.resolve(head as Head);
  }

  data(chunk: Uint8Array): void {
    this.chunks.push(new Uint8Array(chunk));
    if (this.consume) this.exchange.consumed(chunk.length);
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }

  end(): void {
    return;
  }

  drain(): void {
    for (const wake of this.drained.splice(0)) wake();
  }

  closed(error: LinkError | null): void {
    if (error !== null) this.answered.reject(Object.assign(new Error(error.message), error));
    this.ended.resolve(error);
    this.#more.resolve();
  }

  /** Text so far, once it holds this much. */
  async until(text: string): Promise<string> {
    let ended = false;
    this.ended.promise.then(() => {
      ended = true;
    });
    for (;;) {
      const soFar = Buffer.from(concat(this.chunks)).toString();
      if (soFar.includes(text)) return soFar;
      if (ended) throw new Error(`The answer ended with ${JSON.stringify(soFar)} and never held ${text}.`);
      await this.#more.promise;
    }
  }

  /** The whole answer. Rejects with the error's code when it was cancelled. */
  async whole(): Promise<Answer<Head>> {
    const head = await this.answered.promise;
    const error = await this.ended.promise;
    if (error !== null) throw Object.assign(new Error(error.message), error);
    const body = concat(this.chunks);
    return { head, body, text: Buffer.from(body).toString() };
  }
}

export class TestBase implements AsyncDisposable {
  readonly link: Link;
  readonly worker: Worker;
  readonly filesDir: string;
  readonly events: BaseEvent[] = [];
  readonly exited: Promise<number>;
  readonly closed = Promise.withResolvers<string | null>();
  readonly #dir: string;
  readonly #server: net.Server;
  readonly #waiters: { matches: (event: BaseEvent) => boolean; resolve: (event: BaseEvent) => void }[] = [];
  #nextId = 1;

  private constructor(
    dir: string,
    filesDir: string,
    server: net.Server,
    worker: Worker,
    exited: Promise<number>,
    socket: net.Socket,
    binding: BaseOptions['binding'],
  ) {
    this.#dir = dir;
    this.filesDir = filesDir;
    this.#server = server;
    this.worker = worker;
    this.exited = exited;
    this.link = connectLink(
      socket,
      {
        opened: (head, exchange) => {
          exchange.handler = silent();
          if (binding === undefined) exchange.cancel({ code: 'NOT_FOUND', message: 'The test has no bindings.' });
          else binding(head as BindingCallHead, exchange);
        },
        event: (message) => this.#onEvent(message as BaseEvent),
        closed: (violation) => this.closed.resolve(violation),
      },
      { side: 'listen', flush: 'tick' },
    );
  }

  static async start(options: BaseOptions = {}): Promise<TestBase> {
    const dir = await realpath(await mkdtemp(join(tmpdir(), 'hearth-base-')));
    const server = net.createServer({ pauseOnConnect: true });
    let worker: Worker | null = null;
    try {
      const entry = join(dir, 'base.cjs');
      await writeFile(entry, await bundle());
      const filesDir = join(dir, 'slot-1');
      await mkdir(filesDir);
      await mkdir(join(dir, 'slot-2'));
      await writeFile(join(dir, 'slot-2', 'secret.txt'), 'of another base');
      let setupPath: string | null = null;
      if (options.setup !== undefined) {
        setupPath = join(dir, 'setup.cjs');
        await writeFile(setupPath, options.setup);
      }
      const socketPath = join(dir, 'link.sock');
      server.listen(socketPath);
      await once(server, 'listening');
      const shared = options.shared ?? [];
      const readable = [entry, filesDir, join(dir, 'slot-2'), ...shared.map((it) => it.path)];
      if (setupPath !== null) readable.push(setupPath);
      const task: BaseTask = {
        base: 'base-1',
        socketPath,
        token: 'token-1',
        shared,
        setupPath,
        env: options.env ?? {},
        filesDir,
        ...(options.gauges === undefined ? {} : { gauges: options.gauges }),
      };
      const connection = once(server, 'connection');
      worker = new Worker(entry, {
        workerData: task,
        env: {},
        execArgv: [
          '--permission',
          '--allow-net',
          ...readable.map((path) => `--allow-fs-read=${path}`),
          '--no-experimental-ffi',
          '--no-experimental-sqlite',
          '--disable-warning=ExperimentalWarning',
        ],
      });
      const exited = new Promise<number>((resolve) => worker?.once('exit', resolve));
      const failed = new Promise<never>((_, reject) => {
        worker?.once('error', reject);
        worker?.once('message', (message) => reject(new Error(String(message))));
        worker?.once('exit', (code) => reject(new Error(`The base exited with ${code}.`)));
      });
      const [socket] = (await Promise.race([connection, failed])) as [net.Socket];
      const base = new TestBase(dir, filesDir, server, worker, exited, socket, options.binding);
      socket.resume();
      // A base that cannot boot has connected all the same.
      await Promise.race([base.event((event) => event.event === 'hello').catch(() => failed), failed]);
      failed.catch(() => undefined);
      return base;
    } catch (error) {
      await worker?.terminate();
      server.close();
      await rm(dir, { recursive: true });
      throw error;
    }
  }

  /** The next (or an already seen) event that matches. Rejects when the base ends before. */
  event<E extends BaseEvent>(matches: (event: BaseEvent) => event is E): Promise<E>;
  event(matches: (event: BaseEvent) => boolean): Promise<BaseEvent>;
  event(matches: (event: BaseEvent) => boolean): Promise<BaseEvent> {
    const seen = this.events.find(matches);
    if (seen !== undefined) return Promise.resolve(seen);
    const { promise, resolve } = Promise.withResolvers<BaseEvent>();
    this.#waiters.push({ matches, resolve });
    const ended = this.closed.promise.then(() => {
      throw new Error(`The base ended; its events were ${JSON.stringify(this.events)}`);
    });
    return Promise.race([promise, ended]);
  }

  open<Head>(head: object, body: Uint8Array | string | null = null, fin = true): Call<Head> {
    const call = new Call<Head>();
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    call.exchange = this.link.open(head, call, bytes, fin);
    return call;
  }

  async load(code: string, more: Partial<LoadHead> = {}, cache: Uint8Array | null = null): Promise<Answer<LoadedHead>> {
    return this.startLoad(code, more, cache).whole();
  }

  startLoad(code: string, more: Partial<LoadHead> = {}, cache: Uint8Array | null = null): Call<LoadedHead> {
    const bytes = Buffer.from(code);
    const head: LoadHead = {
      kind: 'load',
      module: 'm',
      functionName: 'shop',
      version: 'v1',
      format: 'cjs',
      codeBytes: bytes.length,
      cacheBytes: cache?.length ?? 0,
      filesDir: null,
      rehearsal: false,
      vars: {},
      jsonVars: {},
      bindings: [],
      network: 'all',
      cpuMs: 0,
      memoryMb: 128,
      wantCodeCache: false,
      ...more,
    };
    return this.open(head, cache === null ? bytes : concat([bytes, cache]));
  }

  http(path: string, more: Partial<HttpInvokeHead> = {}, body: string | Uint8Array | null = null, fin = true): Call {
    const head: HttpInvokeHead = {
      ...this.common(),
      trigger: 'http',
      method: body === null && fin ? 'GET' : 'POST',
      url: `http://shop.localhost${path}`,
      headers: [['host', 'shop.localhost']] as HeaderList,
      hasBody: body !== null || !fin,
      upgrade: false,
      remoteAddress: '127.0.0.1',
      ...more,
    };
    return this.open(head, body, fin);
  }

  invoke<Head>(head: Partial<InvokeHead> & { trigger: string }, body: string | Uint8Array | null = null): Call<Head> {
    return this.open({ ...this.common(), ...head }, body);
  }

  /** Loads a module that answers each request with the text its expression gives, and asks it once. */
  async evaluate(expression: string, more: Partial<LoadHead> = {}): Promise<string> {
    const module = `eval-${this.#nextId}`;
    await this.load(
      `module.exports = { async fetch(request, env, ctx) {
        const attempt = async (f) => { try { return await f() } catch (error) { return error.name + ': ' + error.message } };
        return new Response(String(await attempt(async () => (${expression})))) } }`,
      { module, ...more },
    );
    return (await this.http('/', { module }).whole()).text;
  }

  common(): {
    kind: 'invoke';
    module: string;
    invocationId: string;
    hops: number;
    traceparent: string;
    timeoutMs: number;
  } {
    return {
      kind: 'invoke',
      module: 'm',
      invocationId: `i-${this.#nextId++}`,
      hops: 1,
      traceparent: '00-11111111111111111111111111111111-2222222222222222-01',
      timeoutMs: 30_000,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.link.destroy('the test is over');
    await this.worker.terminate();
    this.#server.close();
    await rm(this.#dir, { recursive: true });
  }

  #onEvent(event: BaseEvent): void {
    this.events.push(event);
    for (const waiter of this.#waiters) if (waiter.matches(event)) waiter.resolve(event);
  }
}

export function silent(): ExchangeHandler {
  const nothing = () => undefined;
  return { head: nothing, data: nothing, end: nothing, drain: nothing, closed: nothing };
}
