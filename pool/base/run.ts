/** One invocation on its exchange: from the opening frame to the answer, whatever the trigger is. */
import {
  type HttpInvokeHead,
  type InvokeHead,
  monotonicMs,
  type ResultHead,
} from '../../functions/contract/invocation.ts';
import type { Exchange, ExchangeHandler, LinkError } from '../link/link.ts';
import { IncomingBody } from './body.ts';
import { currentInvocation, Invocation, type InvocationHost } from './context.ts';
import { describeThrown, headline } from './describe.ts';
import type { Entrypoint, GuestModule } from './guest.ts';
import { type Answering, type AnswerPump, checkResponse, sendResponse } from './handlers/fetch.ts';
import { runQueue } from './handlers/queue.ts';
import { runScheduled } from './handlers/scheduled.ts';
import { serveRpc } from './rpc/serve.ts';
import { NoEntrypointError, rpcRefusal } from './rpc/served.ts';
import type { Capnweb } from './rpc/session.ts';
import { lightRequest } from './web/light-request.ts';
import { sendWebSocket, webSocketOf } from './websocket.ts';

/**
 *   opened ──start──► running ──head──► streaming ──► done
 *      │                 └── whole answer, throw ──►  ▲
 *      └── closed by the gateway at any point ────────┘
 */
type RunState = 'opened' | 'running' | 'streaming' | 'done';

export interface RunWatcher {
  /** The exchange ended before the handler was called. */
  neverStarted(): void;
  /** The gateway took the exchange back while it ran. */
  abandoned(invocationId: string): void;
  /** Code of this stream's invocation is about to go on. */
  active(stream: number): void;
}

/** What runs need of the base around them. */
export interface RunHost extends InvocationHost {
  /** Loaded when it is first asked for. */
  capnweb(): Capnweb;
}

export class Run implements ExchangeHandler {
  readonly invoke: InvokeHead;
  readonly exchange: Exchange;
  readonly #body: IncomingBody;
  readonly #watcher: RunWatcher;
  #state: RunState = 'opened';
  #invocation: Invocation | null = null;
  #pump: AnswerPump | null = null;
  /** The gateway took the exchange back, or the connection died. */
  #gone = false;

  constructor(invoke: InvokeHead, exchange: Exchange, watcher: RunWatcher) {
    this.invoke = invoke;
    this.exchange = exchange;
    this.#body = new IncomingBody(exchange);
    this.#watcher = watcher;
  }

  /** Whether it still waits for `start` and has a caller. */
  get startable(): boolean {
    return this.#state === 'opened';
  }

  /** Ends the exchange without having called anything. */
  refuse(error: LinkError): void {
    this.exchange.cancel(error);
  }

  /** Calls the handler. `started` has been written to the socket before. */
  start(module: GuestModule, host: RunHost): void {
    const invocation = new Invocation(this.invoke, module, host);
    this.#invocation = invocation;
    this.#state = 'running';
    currentInvocation.run(invocation, () => {
      try {
        this.#call(invocation, module, host);
      } catch (error) {
        this.#failed(error);
      }
    });
  }

  /** Only openers get one. */
  head(): void {
    return;
  }

  data(chunk: Uint8Array): void {
    this.#watcher.active(this.exchange.id);
    this.#body.push(chunk);
  }

  end(): void {
    this.#watcher.active(this.exchange.id);
    this.#body.end();
  }

  drain(): void {
    this.#pump?.drained();
  }

  closed(error: LinkError | null): void {
    if (error === null || this.#state === 'done') return;
    this.#gone = true;
    const reason = new DOMException(error.message, 'AbortError');
    this.#body.fail(reason);
    const invocation = this.#invocation;
    if (invocation === null) {
      this.#state = 'done';
      this.#watcher.neverStarted();
      return;
    }
    this.#watcher.abandoned(invocation.invocationId);
    invocation.abandoned(reason);
    // Still running: the handler's own end is awaited, as it may hold on to the base until then.
    if (this.#pump !== null) {
      this.#pump.closed();
      if (this.#pump.busy !== true) this.#done();
    }
  }

  #call(invocation: Invocation, module: GuestModule, host: RunHost): void {
    const invoke = this.invoke;
    const entrypoint = this.#entrypoint(module);
    switch (invoke.trigger) {
      case 'http': {
        continueTrace(invoke);
        if (module.serve !== null) {
          this.#pump = module.serve(invoke, this.#body, this.#answering(invocation, monotonicMs()));
          return;
        }
        if (entrypoint.fetch === null) throw new Error('The module has no fetch handler.');
        const request = lightRequest(invoke, this.#body, invocation);
        const calledAt = monotonicMs();
        const result = entrypoint.fetch(request, invocation);
        if (isThenable(result)) {
          result.then(
            (response: unknown) => this.#respond(response, calledAt),
            (error: unknown) => this.#failed(error),
          );
        } else {
          this.#respond(result, calledAt);
        }
        return;
      }
      case 'cron':
        this.#body.discard();
        this.#whole(runScheduled(invoke, entrypoint, invocation));
        return;
      case 'queue':
        this.#whole(runQueue(invoke, entrypoint, invocation, this.#body));
        return;
      case 'rpc': {
        const { capnweb, deadlines } = host;
        const answering = this.#answering(invocation, monotonicMs());
        const parts = { capnweb: capnweb(), deadlines, invocation, body: this.#body, answering };
        this.#pump = serveRpc(invoke, entrypoint, parts);
        return;
      }
      default:
        invoke satisfies never;
    }
  }

  /** An answer that is a head alone. */
  #whole(result: Promise<ResultHead>): void {
    result.then(
      (head) => {
        const invocation = this.#invocation as Invocation;
        head.waiting = invocation.waiting;
        this.exchange.sendHead(head, null, true);
        this.#done();
      },
      (error: unknown) => this.#failed(error),
    );
  }

  #respond(value: unknown, calledAt: number): void {
    const invocation = this.#invocation as Invocation;
    try {
      const response = checkResponse(value);
      if (this.#gone) {
        // Nobody reads it: what feeds the body has to hear of that.
        response.body?.cancel(invocation.abortReason).catch((error: unknown) => invocation.log.debug(error));
        this.#done();
        return;
      }
      this.#state = 'streaming';
      const answering = this.#answering(invocation, calledAt);
      const invoke = this.invoke as HttpInvokeHead;
      const webSocket = webSocketOf(response);
      this.#pump =
        webSocket === null
          ? sendResponse(response, invoke.method === 'HEAD', answering)
          : sendWebSocket(webSocket, response, invoke.upgrade, this.#body, answering);
    } catch (error) {
      this.#failed(error);
    }
  }

  #answering(invocation: Invocation, calledAt: number): Answering {
    return {
      exchange: this.exchange,
      invocation,
      calledAt,
      ended: () => this.#done(),
      failed: (error) => this.#failed(error),
    };
  }

  #failed(error: unknown): void {
    if (this.#state === 'done') return;
    this.#state = 'done';
    const described = describeThrown(error);
    const refusal = this.invoke.trigger === 'rpc' ? rpcRefusal(error) : null;
    this.exchange.cancel(
      refusal ?? { code: 'FUNCTION_EXCEPTION', message: headline(described), stack: described.stack },
    );
    this.#body.discard();
    this.#invocation?.ended();
  }

  #done(): void {
    if (this.#state === 'done') return;
    this.#state = 'done';
    // What the function did not read of its request: unread, it would keep the exchange open for ever.
    this.#body.discard();
    this.#invocation?.ended();
  }

  #entrypoint(module: GuestModule): Entrypoint {
    const entrypoint = module.entrypoint(this.invoke.entrypoint);
    if (entrypoint !== null) return entrypoint;
    throw new NoEntrypointError(`The module has no entrypoint ${JSON.stringify(this.invoke.entrypoint)}.`);
  }
}

/** The function finds its own place in the trace where it looks for it, not its caller's. */
function continueTrace(invoke: HttpInvokeHead): void {
  if (invoke.traceparent === '') return;
  const known = invoke.headers.find(([name]) => name === 'traceparent');
  if (known === undefined) invoke.headers.push(['traceparent', invoke.traceparent]);
  else known[1] = invoke.traceparent;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
