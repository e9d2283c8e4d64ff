/** One HTTP invocation of a captured server: a request and a response of Node's own classes, filled by hand. */
import type { IncomingMessage, Server } from 'node:http';
import type { HttpInvokeHead } from '../../../functions/contract/invocation.ts';
import type { IncomingBody } from '../body.ts';
import { currentInvocation } from '../context.ts';
import type { Answering, AnswerPump } from '../handlers/fetch.ts';
import type { Http } from '../node-http.ts';
import { NodeAnswer } from './response.ts';
import { LinkSocket } from './socket.ts';

/** The members of IncomingMessage that Node keeps to itself. */
interface Internals {
  _addHeaderLines(headers: string[], count: number): void;
  _dump(): void;
  _readableState: { readingMore: boolean };
}

/** Throws what a listener of 'request' throws. `http` is Node's own module. */
export function invokeNodeHttp(
  http: Http,
  server: Server,
  head: HttpInvokeHead,
  body: IncomingBody,
  answering: Answering,
): AnswerPump {
  if (head.upgrade && server.listenerCount('upgrade') > 0) {
    // Its listener would speak the protocol of WebSockets on a raw socket, and what comes here are messages.
    throw new Error("A Node server's own WebSockets are not served: answer with a WebSocketPair from a fetch handler.");
  }
  const socket = new LinkSocket(head.remoteAddress);
  const req = new http.IncomingMessage(socket as unknown as ConstructorParameters<Http['IncomingMessage']>[0]);
  const raw = rawHeaders(head);
  (req as unknown as Internals)._addHeaderLines(raw, raw.length);
  req.method = head.method;
  req.url = targetOf(head.url);
  req.httpVersion = '1.1';
  req.httpVersionMajor = 1;
  req.httpVersionMinor = 1;

  const res = new http.ServerResponse(req);
  const answer = new NodeAnswer(http, res, answering);
  res.assignSocket(socket as unknown as Parameters<typeof res.assignSocket>[0]);
  fillBody(req, head.hasBody, body);

  socket.onDestroyed = (error) => {
    // The application hung up: res.destroy(), req.destroy(), req.socket.destroy().
    if (answer.state === 'ended') return;
    answer.gone();
    answering.failed(error ?? new Error('The application closed the connection without an answer.'));
  };
  res.on('finish', () => {
    socket.onDestroyed = null;
    // What is left of the request's body will not come any more: whoever reads it must not take its start for all.
    if (!req.complete && req.readableFlowing !== null) req.destroy(aborted());
    else (req as unknown as Internals)._dump();
    res.detachSocket(socket as unknown as Parameters<typeof res.detachSocket>[0]);
    process.nextTick(() => {
      res.destroyed = true;
      (res as unknown as { _closed: boolean })._closed = true;
      res.emit('close');
    });
  });

  server.emit('request', req, res);
  return {
    drained: () => answer.drained(),
    closed: () => {
      if (answer.state === 'ended') return;
      answer.gone();
      socket.onDestroyed = null;
      currentInvocation.run(answering.invocation, () => {
        socket.destroy();
        req.destroy(aborted());
      });
    },
  };
}

/** As Node's own, so that applications recognise it. */
function aborted(): Error {
  return Object.assign(new Error('aborted'), { code: 'ECONNRESET' });
}

function fillBody(req: IncomingMessage, hasBody: boolean, body: IncomingBody): void {
  const whole = hasBody ? body.takeWhole() : null;
  if (!hasBody || whole !== null) {
    if (!hasBody) body.discard();
    req._read = ignore;
    req.complete = true;
    if (whole !== null && whole.byteLength > 0) req.push(Buffer.from(whole.buffer, whole.byteOffset, whole.byteLength));
    req.push(null);
    return;
  }
  // Node's constructor sets this, and its own _read, which is replaced here, clears it: else one chunk is all there is.
  (req as unknown as Internals)._readableState.readingMore = false;
  let reading = false;
  // An own property: Express puts a prototype of its own under every request.
  req._read = () => {
    if (reading) return;
    reading = true;
    body.read().then(
      (chunk) => {
        reading = false;
        if (req.destroyed) return;
        if (chunk === null) req.complete = true;
        req.push(chunk === null ? null : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
      },
      () => req.destroy(aborted()),
    );
  };
}

function rawHeaders(head: HttpInvokeHead): string[] {
  const raw: string[] = [];
  let hasLength = false;
  for (const [name, value] of head.headers) {
    if (name === 'content-length') hasLength = true;
    raw.push(name, value);
  }
  // Body parsers look for one of the two to see whether there is a body.
  if (head.hasBody && !hasLength) raw.push('transfer-encoding', 'chunked');
  raw.push('connection', head.upgrade ? 'Upgrade' : 'keep-alive');
  return raw;
}

/** Path and query of an absolute URL, as they were written. */
function targetOf(url: string): string {
  const slash = url.indexOf('/', url.indexOf('://') + 3);
  return slash === -1 ? '/' : url.slice(slash);
}

function ignore(): void {
  // Everything was pushed at once.
}
