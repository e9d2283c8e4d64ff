/**
 * Cap'n Web over a WebSocket at /v1/rpc/NAME. The session is between client and base; the gateway admits the client, holds
 * its place, and passes messages on with backpressure both ways.
 *
 *   asking ──the base has begun──► relaying ──either side ends──► done
 *      └──refused, failed──► done (a problem as HTTP)
 */
import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { HearthError, toHearthError } from '../../functions/contract/errors.ts';
import { createOpenSockets } from '../ingress/open-sockets.ts';
import { SocketRelay } from '../ingress/relay.ts';
import { rawProblem } from '../ingress/response.ts';
import type { Registry } from '../registry/registry.ts';
import type { Dispatched, Dispatcher, DispatchSink } from '../triggers/dispatcher.ts';
import { type Access, requireScope } from './access.ts';
import { hostAllowed } from './app.ts';
import { functionNamed } from './lookup.ts';
import { choiceOf, entrypointOf } from './rpc.ts';

/** As large as any base takes one. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
/** What a client may offer that cannot set headers, a page say: this, and `bearer.TOKEN` beside it. */
const PROTOCOL = 'hearth-rpc';
const TOKEN_PROTOCOL = /^bearer\.(\S+)$/;

export interface RpcSocketParts {
  access: Pick<Access, 'authenticate'>;
  registry: Registry;
  dispatcher: Pick<Dispatcher, 'dispatch'>;
  hosts: ReadonlySet<string> | null;
}

export interface RpcSockets {
  serve(req: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Asks all clients to go: 1001. */
  drain(): void;
  kill(): void;
}

export function createRpcSockets(parts: RpcSocketParts): RpcSockets {
  const open = createOpenSockets({
    mostMessageBytes: MAX_MESSAGE_BYTES,
    protocol: (offered) => (offered.has(PROTOCOL) ? PROTOCOL : false),
  });

  return {
    serve(req, socket, head) {
      open.take(socket);
      try {
        const call = new SocketCall(socket, (accepted) =>
          open.accept(req, socket, head, (webSocket) => accepted.relay(webSocket)),
        );
        call.begin(dispatch(parts, req, call));
      } catch (error) {
        refuse(socket, toHearthError(error));
      }
    },
    drain: open.drain,
    kill: open.kill,
  };
}

/** Throws HearthError for whom it is not open to. */
function dispatch(
  { access, registry, dispatcher, hosts }: RpcSocketParts,
  req: IncomingMessage,
  sink: DispatchSink,
): Dispatched {
  if (!hostAllowed(req.headers.host, hosts)) throw new HearthError('FORBIDDEN', 'Not a name of the control API.');
  const { pathname, searchParams } = new URL(req.url ?? '/', 'http://control');
  const name = /^\/v1\/rpc\/([^/]+)$/.exec(pathname)?.[1];
  if (name === undefined) throw new HearthError('NOT_FOUND', 'WebSockets are opened at /v1/rpc/NAME.');
  requireScope(access.authenticate(authorizationOf(req)), 'rpc', name);
  const entry = functionNamed(registry, name);
  const to = entrypointOf(searchParams.get('entrypoint') ?? undefined);
  const head = { trigger: 'rpc', wire: 'client', method: '', ...to } as const;
  const { version, arm } = choiceOf(entry, head);
  const { traceparent } = req.headers;
  const context = { traceparent: typeof traceparent === 'string' ? traceparent : null, hops: 0 };
  const dispatched = dispatcher.dispatch(entry, version, head, context, sink, arm);
  return dispatched;
}

/** A token among the protocols counts where there is no header. */
function authorizationOf({ headers }: IncomingMessage): string | undefined {
  if (headers.authorization !== undefined) return headers.authorization;
  for (const offered of (headers['sec-websocket-protocol'] ?? '').split(',')) {
    const token = TOKEN_PROTOCOL.exec(offered.trim())?.[1];
    if (token !== undefined) return `Bearer ${token}`;
  }
  return undefined;
}

class SocketCall implements DispatchSink {
  readonly #socket: Duplex;
  readonly #accept: (call: SocketCall) => void;
  #state: 'asking' | 'relaying' | 'done' = 'asking';
  #handle: Dispatched | null = null;
  #relay: SocketRelay | null = null;

  constructor(socket: Duplex, accept: (call: SocketCall) => void) {
    this.#socket = socket;
    this.#accept = accept;
  }

  begin(handle: Dispatched): void {
    this.#handle = handle;
    this.#socket.once('close', () => {
      if (this.#state !== 'asking') return;
      this.#state = 'done';
      handle.abort('client gone');
    });
  }

  head(): void {
    if (this.#state !== 'asking') return;
    this.#state = 'relaying';
    this.#accept(this);
    // Without a relay by now there will be none: the handshake was refused after all.
    if (this.#relay === null) this.#handle?.abort('the handshake failed');
  }

  relay(webSocket: WebSocket): SocketRelay {
    this.#relay = new SocketRelay(webSocket, this.#handle as Dispatched);
    return this.#relay;
  }

  data(chunk: Uint8Array): void {
    if (this.#relay === null) this.#handle?.consumed(chunk.byteLength);
    else this.#relay.fromFunction(chunk);
  }

  end(): void {
    this.#relay?.functionEnded();
  }

  failed(error: HearthError): void {
    if (this.#state === 'asking') {
      this.#state = 'done';
      refuse(this.#socket, error);
    } else this.#relay?.functionFailed(error);
  }

  drain(): void {
    this.#relay?.mayWrite();
  }
}

function refuse(socket: Duplex, error: HearthError): void {
  socket.end(rawProblem(error.status, STATUS_CODES[error.status] ?? 'Error', error));
  socket.once('finish', () => socket.destroy());
}
