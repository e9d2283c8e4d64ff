/**
 * One HTTP request on its way through a function. One object per request and shared listeners, no closures: this and
 * parseRequest are what the product's throughput hangs on.
 *
 *   waiting ──head──► held ──next tick, or more data──► streaming ──end──► done
 *      │               └──end in the same tick: one write──────────────────► done
 *      └──failed, refused──────────────────────────────────────────────────► done
 *   any ──client gone, answer broken off──► done
 */
import { IncomingMessage, ServerResponse } from 'node:http';
import { HearthError } from '../../functions/contract/errors.ts';
import type { HttpResponseHead, ResultHead } from '../../functions/contract/invocation.ts';
import type { InvokeFacts } from '../../pool/keeper/api.ts';
import { type EarlyBody, PIECE_BYTES } from '../registry/ask.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Dispatched, DispatchSink } from '../triggers/dispatcher.ts';
import { closeUnlessComplete, endWithUpload } from './linger.ts';
import { type AnswerFacts, problemBody, problemHeaders, pushFacts, pushFunctionHeaders } from './response.ts';

/** The classes node:http makes requests and responses of, so that listeners find the call without a closure. */
export class IngressRequest extends IncomingMessage {
  call: HttpCall | null = null;
}
export class IngressResponse<Request extends IncomingMessage = IncomingMessage> extends ServerResponse<Request> {
  call: HttpCall | null = null;
}

export interface CallParts {
  log: Logger;
  maxBodyBytes: number;
}

export class HttpCall implements DispatchSink {
  state: 'waiting' | 'held' | 'streaming' | 'done' = 'waiting';
  readonly #parts: CallParts;
  readonly #req: IngressRequest;
  readonly #res: IngressResponse;
  #handle: Dispatched | null = null;
  #head: HttpResponseHead | null = null;
  #facts: InvokeFacts | null = null;
  /** First bytes of the answer while it is held. */
  #first: Uint8Array | null = null;
  /** Declared content-length of a streamed answer, -1 for none, and what of it was sent. */
  #declared = -1;
  #sent = 0;
  /** Sent to the socket beyond its buffer: given back to the base when the client has read on. */
  #unconsumed = 0;
  #bodiless = false;
  /** The client is sending a body. */
  #uploading = false;
  #received = 0;
  /** What came of the body before it was known who gets it, until it has gone on. */
  #early: EarlyBody | null = null;
  #earlySent = 0;

  constructor(parts: CallParts, req: IngressRequest, res: IngressResponse) {
    this.#parts = parts;
    this.#req = req;
    this.#res = res;
    res.call = this;
    res.on('close', onResponseClose);
  }

  /**
   * The invocation, and the request's body for it, of which `early` has been read. The dispatcher reports nothing to its
   * sink before `dispatch` has returned this.
   */
  begin(handle: Dispatched, hasBody: boolean, early: EarlyBody | null = null): void {
    this.#handle = handle;
    if (this.state === 'done') return;
    if (!hasBody) {
      handle.end();
      return;
    }
    this.#uploading = true;
    this.#req.call = this;
    if (early === null || !early.whole) {
      this.#req.on('data', onRequestData);
      this.#req.on('end', onRequestEnd);
    }
    if (early === null) return;
    this.#early = early;
    this.#sendEarly(early);
  }

  #sendEarly({ content, whole }: EarlyBody): void {
    while (this.#earlySent < content.byteLength) {
      const piece = content.subarray(this.#earlySent, this.#earlySent + PIECE_BYTES);
      this.#earlySent += piece.byteLength;
      if (!this.#take(piece)) return;
    }
    this.#early = null;
    if (whole) this.uploadEnded();
    else this.#req.resume();
  }

  /* ── the answer ─────────────────────────────────────────────────────────────────────────────────────────── */

  head(head: ResultHead, facts: InvokeFacts): void {
    if (this.state !== 'waiting') return;
    this.#facts = facts;
    if (head.kind !== 'response') {
      this.#refuse(
        new HearthError('INTERNAL', 'The base answered an HTTP request with something else.'),
        'no response',
      );
      return;
    }
    this.#head = head;
    this.state = 'held';
    process.nextTick(flushHeld, this);
  }

  data(chunk: Uint8Array): void {
    if (this.state === 'held' && this.#first === null) {
      this.#first = chunk;
      return;
    }
    if (this.state === 'held') this.flush();
    if (this.state === 'streaming') this.#write(chunk);
    else this.#handle?.consumed(chunk.byteLength);
  }

  end(): void {
    if (this.state === 'held') {
      const body = this.#first;
      this.#first = null;
      if (this.#writeHead(body === null ? 0 : body.byteLength)) this.#finish(this.#bodiless ? null : body);
      if (body !== null) this.#handle?.consumed(body.byteLength);
    } else if (this.state === 'streaming') {
      this.drained();
      if (this.#declared !== -1 && this.#sent !== this.#declared && !this.#bodiless) {
        this.#breakOff(`declared ${this.#declared} bytes and sent ${this.#sent}`);
      } else this.#finish(null);
    }
  }

  failed(error: HearthError, facts: InvokeFacts | null): void {
    if (this.state === 'done') return;
    this.#facts = facts ?? this.#facts;
    if (this.state === 'streaming') {
      this.state = 'done';
      this.#res.destroy();
    } else this.#answerProblem(forCallers(error));
  }

  drain(): void {
    if (this.#early !== null) this.#sendEarly(this.#early);
    else if (this.#uploading) this.#req.resume();
  }

  /** Writes the head and what is there of the body; the rest will be streamed. */
  flush(): void {
    if (this.state !== 'held') return;
    const first = this.#first;
    this.#first = null;
    if (!this.#writeHead(-1)) {
      if (first !== null) this.#handle?.consumed(first.byteLength);
      return;
    }
    this.state = 'streaming';
    this.#res.on('drain', onResponseDrain);
    if (first === null) this.#res.flushHeaders();
    else this.#write(first);
  }

  /** False when the function's head cannot be written: then the answer was a 500 instead. `length` -1: not known yet. */
  #writeHead(length: number): boolean {
    const head = this.#head as HttpResponseHead;
    const res = this.#res;
    const status = head.status;
    try {
      if (!(status >= 200 && status <= 999)) throw new RangeError(`status ${status} is not one of a final answer`);
      const headers: string[] = [];
      let declared = pushFunctionHeaders(headers, head.headers);
      this.#bodiless = this.#req.method === 'HEAD' || status === 204 || status === 304;
      if (length !== -1 && !(this.#bodiless && length === 0)) declared = length;
      if (declared !== -1 && status !== 204) headers.push('content-length', String(declared));
      this.#declared = declared;
      pushFacts(headers, this.#answerFacts());
      if (this.#uploading) closeUnlessComplete(this.#req, this.#res);
      if (head.statusText === '') res.writeHead(status, headers);
      else res.writeHead(status, head.statusText, headers);
      return true;
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      this.#parts.log.warn(`A function's answer cannot be sent: ${why}.`, {
        invocation_id: this.#handle?.invocationId,
        function: this.#handle?.version.record.functionName,
      });
      // A 204 or 304 that failed half way has left its mark on the response.
      (res as unknown as { _hasBody: boolean })._hasBody = this.#req.method !== 'HEAD';
      this.#refuse(new HearthError('FUNCTION_EXCEPTION', `The function's answer is not valid HTTP: ${why}.`), why);
      return false;
    }
  }

  #write(chunk: Uint8Array): void {
    const bytes = chunk.byteLength;
    if (this.#bodiless) {
      this.#handle?.consumed(bytes);
      return;
    }
    this.#sent += bytes;
    if (this.#declared !== -1 && this.#sent > this.#declared) {
      this.#breakOff(`declared ${this.#declared} bytes and sent more`);
      return;
    }
    if (this.#res.write(chunk) && this.#unconsumed === 0) this.#handle?.consumed(bytes);
    else this.#unconsumed += bytes;
  }

  /** The client has read on. */
  drained(): void {
    const bytes = this.#unconsumed;
    this.#unconsumed = 0;
    if (bytes > 0) this.#handle?.consumed(bytes);
  }

  /** Bytes that wait for the client to read. */
  get heldBytes(): number {
    return this.#unconsumed;
  }

  #breakOff(why: string): void {
    this.#parts.log.warn(`A function's answer was broken off: it ${why}.`, {
      invocation_id: this.#handle?.invocationId,
      function: this.#handle?.version.record.functionName,
    });
    this.state = 'done';
    this.#handle?.abort(why);
    this.#res.destroy();
  }

  /** Ends the invocation and answers with a problem instead. Only before a head was written. */
  #refuse(error: HearthError, why: string): void {
    this.#handle?.abort(why);
    this.#answerProblem(error);
  }

  #answerProblem(error: HearthError): void {
    const body = problemBody(error, this.#handle?.invocationId ?? null);
    const headers = problemHeaders(error, body, this.#handle === null ? null : this.#answerFacts());
    if (this.#uploading) closeUnlessComplete(this.#req, this.#res);
    this.#res.statusMessage = '';
    this.#res.writeHead(error.status, headers);
    this.#finish(this.#req.method === 'HEAD' ? null : body);
  }

  #answerFacts(): AnswerFacts {
    const handle = this.#handle as Dispatched;
    return { invocationId: handle.invocationId, version: handle.version.record.version, facts: this.#facts };
  }

  #finish(body: Uint8Array | string | null): void {
    this.state = 'done';
    if (this.#uploading) endWithUpload(this.#req, this.#res, body);
    else if (body === null) this.#res.end();
    else this.#res.end(body);
  }

  /* ── the request's body ─────────────────────────────────────────────────────────────────────────────────── */

  uploaded(chunk: Uint8Array): void {
    if (!this.#take(chunk)) this.#req.pause();
  }

  /** False: no more before the function has read on. */
  #take(chunk: Uint8Array): boolean {
    if (this.state === 'done') return true;
    this.#received += chunk.byteLength;
    if (this.#received > this.#parts.maxBodyBytes) {
      if (this.state === 'streaming') this.#breakOff(`was sent a body over ${this.#parts.maxBodyBytes} bytes`);
      else this.#refuse(tooLarge(this.#parts.maxBodyBytes), 'request body over its limit');
      return true;
    }
    return this.#handle?.write(chunk) !== false;
  }

  uploadEnded(): void {
    if (this.state !== 'done') this.#handle?.end();
  }

  /** The response's connection is done with, whichever way. */
  closed(): void {
    if (this.state === 'done') return;
    this.state = 'done';
    this.#handle?.abort('client gone');
  }
}

export function tooLarge(maxBodyBytes: number): HearthError {
  const limit = `${maxBodyBytes} bytes (HEARTH_MAX_BODY_MB)`;
  return new HearthError('PAYLOAD_TOO_LARGE', `The body of the request is over the limit of ${limit}.`);
}

/** What a function threw may hold anything: its message is in the owner's log and invocation record, not in the answer. */
function forCallers(error: HearthError): HearthError {
  return error.code === 'FUNCTION_EXCEPTION' ? new HearthError('FUNCTION_EXCEPTION', 'The function threw.') : error;
}

function flushHeld(call: HttpCall): void {
  call.flush();
}

function onResponseClose(this: IngressResponse): void {
  this.call?.closed();
}

function onResponseDrain(this: IngressResponse): void {
  this.call?.drained();
}

function onRequestData(this: IngressRequest, chunk: Buffer): void {
  this.call?.uploaded(chunk);
}

function onRequestEnd(this: IngressRequest): void {
  this.call?.uploadEnded();
}
