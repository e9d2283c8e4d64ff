/**
 * WebSockets: the function decides over the upgrade, the gateway speaks the protocol. One call per upgrade request:
 *
 *   waiting ──101──► relaying ──both sides closed──► done
 *      └──any other answer──► answering (an HttpCall writes it) ──► done
 */
import { STATUS_CODES, validateHeaderName, validateHeaderValue } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { HearthError } from '../../functions/contract/errors.ts';
import type { HeaderList, HttpResponseHead, ResultHead } from '../../functions/contract/invocation.ts';
import type { InvokeFacts } from '../../pool/keeper/api.ts';
import { MAX_MESSAGE_BYTES } from '../../pool/link/messages.ts';
import type { Dispatched, Dispatcher, DispatchSink } from '../triggers/dispatcher.ts';
import { whenKnown } from './access.ts';
import { type CallParts, HttpCall, type IngressRequest, IngressResponse } from './call.ts';
import { createOpenSockets } from './open-sockets.ts';
import { SocketRelay } from './relay.ts';
import { pushFacts, pushFunctionHeaders, rawProblem } from './response.ts';
import type { Routed } from './routing.ts';

/** What a client may send before the function has answered: nothing, by the protocol; a little is kept. */
const MAX_EARLY_BYTES = 64 * 1024;

export interface UpgradeParts extends CallParts {
  dispatcher: Pick<Dispatcher, 'dispatch'>;
  route(req: IngressRequest): Routed | HearthError;
  /** Called once for each upgrade request that was served. */
  ended(): void;
}

export interface Upgrades {
  serve(req: IngressRequest, socket: Duplex, head: Buffer): void;
  /** Asks all clients to go: 1001. */
  drain(): void;
  close(): void;
}

export function createUpgrades(parts: UpgradeParts): Upgrades {
  const accepting = new WeakMap<object, UpgradeCall>();
  const open = createOpenSockets({
    mostMessageBytes: MAX_MESSAGE_BYTES,
    protocol: (offered, request) => accepting.get(request)?.protocol(offered) ?? false,
    headers: (lines, request) => accepting.get(request)?.pushHeaderLines(lines),
    ended: parts.ended,
  });

  return {
    serve(req, socket, head) {
      open.take(socket);
      const fault = faultOf(req);
      const routed = fault ?? parts.route(req);
      if (routed instanceof HearthError) {
        // 426 tells a client of another version which one is spoken here.
        refuse(socket, routed, fault !== null && req.headers['sec-websocket-version'] !== '13' ? 426 : routed.status);
        return;
      }
      const call = new UpgradeCall(parts, req, socket, head, (upgrade, whole) => {
        accepting.set(req, upgrade);
        open.accept(req, socket, whole, (webSocket) => upgrade.relay(webSocket));
        accepting.delete(req);
        upgrade.accepted();
      });
      const { entry, version, head: trigger, traceparent, arm, pending } = routed;
      const begin = (refused: HearthError | null) => {
        if (call.gone) return;
        if (refused !== null) refuse(socket, refused, refused.status);
        else call.begin(parts.dispatcher.dispatch(entry, version, trigger, { traceparent, hops: 0 }, call, arm));
      };
      if (pending === null) begin(null);
      else whenKnown(pending, begin);
    },
    drain: open.drain,
    close: open.kill,
  };
}

function refuse(socket: Duplex, error: HearthError, status: number): void {
  const answer = rawProblem(status, STATUS_CODES[status] ?? 'Error', error);
  socket.end(status === 426 ? answer.replace('\r\n', '\r\nsec-websocket-version: 13\r\n') : answer);
  socket.once('finish', () => socket.destroy());
}

type Accept = (call: UpgradeCall, early: Buffer) => void;

class UpgradeCall implements DispatchSink {
  #state: 'waiting' | 'answering' | 'relaying' | 'done' = 'waiting';
  readonly #parts: UpgradeParts;
  readonly #req: IngressRequest;
  readonly #socket: Duplex;
  readonly #accept: Accept;
  #early: Buffer[];
  #earlyBytes: number;
  #handle: Dispatched | null = null;
  #head: HttpResponseHead | null = null;
  #facts: InvokeFacts | null = null;
  /** Who takes what comes after the head. */
  #answer: HttpCall | null = null;
  #relay: SocketRelay | null = null;

  constructor(parts: UpgradeParts, req: IngressRequest, socket: Duplex, head: Buffer, accept: Accept) {
    this.#parts = parts;
    this.#req = req;
    this.#socket = socket;
    this.#accept = accept;
    this.#early = [head];
    this.#earlyBytes = head.byteLength;
    // Only a socket that is read says that its client has gone.
    socket.on('data', this.#onEarly);
    socket.on('end', this.#onGone);
    socket.on('close', this.#onGone);
  }

  begin(handle: Dispatched): void {
    this.#handle = handle;
  }

  /** The client went before anybody was asked. */
  get gone(): boolean {
    return this.#state === 'done';
  }

  head(head: ResultHead, facts: InvokeFacts): void {
    if (this.#state !== 'waiting') return;
    if (head.kind === 'response' && head.webSocket) {
      this.#head = head;
      this.#facts = facts;
      this.#state = 'relaying';
      this.#stopWaiting();
      this.#accept(this, Buffer.concat(this.#early));
      this.#early = [];
      return;
    }
    this.#plain().head(head, facts);
  }

  data(chunk: Uint8Array): void {
    if (this.#answer !== null) this.#answer.data(chunk);
    else if (this.#relay !== null) this.#relay.fromFunction(chunk);
    else this.#handle?.consumed(chunk.byteLength);
  }

  end(): void {
    this.#answer?.end();
    this.#relay?.functionEnded();
  }

  failed(error: HearthError, facts: InvokeFacts | null): void {
    if (this.#state === 'waiting') this.#plain().failed(error, facts);
    else this.#answer?.failed(error, facts);
    this.#relay?.functionFailed(error);
  }

  drain(): void {
    this.#relay?.mayWrite();
  }

  /** The sub-protocol of the function's answer, where the client offered it. */
  protocol(offered: Set<string>): string | false {
    const chosen = this.#head?.headers.find(([name]) => name === 'sec-websocket-protocol')?.[1];
    return chosen !== undefined && offered.has(chosen) ? chosen : false;
  }

  /** The function's own headers and ours, onto the 101. */
  pushHeaderLines(lines: string[]): void {
    const handle = this.#handle as Dispatched;
    const headers: string[] = [];
    const own = (this.#head?.headers ?? []).filter(([name]) => !name.startsWith('sec-websocket-'));
    pushFunctionHeaders(headers, own.filter(isValid));
    const version = handle.version.record.version;
    pushFacts(headers, { invocationId: handle.invocationId, version, facts: this.#facts });
    for (let i = 0; i < headers.length; i += 2) lines.push(`${headers[i]}: ${headers[i + 1]}`);
  }

  relay(webSocket: WebSocket): SocketRelay {
    this.#relay = new SocketRelay(webSocket, this.#handle as Dispatched);
    return this.#relay;
  }

  /** After the handshake: without a relay by now there will be none. */
  accepted(): void {
    if (this.#relay === null) this.#handle?.abort('the handshake failed');
  }

  /** The function did not accept: its answer is written as HTTP, and the connection ends with it. */
  #plain(): HttpCall {
    this.#state = 'answering';
    this.#stopWaiting();
    const res = new IngressResponse(this.#req);
    res.shouldKeepAlive = false;
    res.assignSocket(this.#socket as Parameters<IngressResponse['assignSocket']>[0]);
    res.once('finish', () => this.#socket.end());
    this.#answer = new HttpCall(this.#parts, this.#req, res);
    this.#answer.begin(this.#handle as Dispatched, false);
    return this.#answer;
  }

  #stopWaiting(): void {
    this.#socket.off('data', this.#onEarly);
    this.#socket.off('end', this.#onGone);
    this.#socket.off('close', this.#onGone);
  }

  readonly #onEarly = (chunk: Buffer): void => {
    this.#early.push(chunk);
    this.#earlyBytes += chunk.byteLength;
    if (this.#earlyBytes > MAX_EARLY_BYTES) this.#socket.destroy();
  };

  readonly #onGone = (): void => {
    if (this.#state !== 'waiting') return;
    this.#state = 'done';
    this.#handle?.abort('client gone');
    this.#socket.destroy();
  };
}

/** What is wrong with a handshake (RFC 6455, 4.2.1), found before a function is asked. */
function faultOf(req: IngressRequest): HearthError | null {
  if (req.method !== 'GET') return new HearthError('BAD_REQUEST', 'A WebSocket is opened with GET.');
  const key = req.headers['sec-websocket-key'];
  if (key === undefined || key.length !== 24 || !key.endsWith('==')) {
    return new HearthError('BAD_REQUEST', 'The handshake has no valid Sec-WebSocket-Key.');
  }
  if (req.headers['sec-websocket-version'] !== '13') {
    return new HearthError('BAD_REQUEST', 'Only version 13 of WebSocket is spoken here.');
  }
  return null;
}

function isValid([name, value]: HeaderList[number]): boolean {
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return true;
  } catch {
    return false;
  }
}
