/** `Dispatcher.call`: a whole body in, a whole answer out, over the streaming path. */
import { HearthError } from '../../functions/contract/errors.ts';
import type { ResultHead } from '../../functions/contract/invocation.ts';
import type { InvokeFacts } from '../../pool/keeper/api.ts';
import type { VersionEntry } from '../registry/registry.ts';
import { ARM } from '../telemetry/names.ts';
import type { DispatchExtras } from './dispatch.ts';
import {
  type CallContext,
  type CallOptions,
  type CallResult,
  type Dispatched,
  type Dispatcher,
  type DispatchSink,
  MAX_CALL_ANSWER_BYTES,
  type TriggerHead,
} from './dispatcher.ts';

type Start = (
  version: VersionEntry,
  head: TriggerHead,
  context: CallContext,
  sink: DispatchSink,
  extras: DispatchExtras,
  arm: string,
) => Dispatched;

/** Bytes given to the link at once: a larger body waits for credit between pieces. */
const PIECE_BYTES = 64 * 1024;

export function createCall(start: Start): Dispatcher['call'] {
  return (_entry, version, head, context, body, options = {}) =>
    new Promise((resolve, reject) => {
      if (options.signal?.aborted) {
        reject(options.signal.reason);
        return;
      }
      const collector = new Collector(body, options, resolve, reject);
      const extras = {
        invocationId: options.invocationId,
        producers: options.producers,
        released: () => collector.released(),
      };
      collector.begin(start(version, head, context, collector, extras, options.arm ?? ARM.split));
    });
}

class Collector implements DispatchSink {
  private readonly body: Uint8Array | null;
  private readonly options: CallOptions;
  private readonly resolve: (result: CallResult) => void;
  private readonly reject: (reason: unknown) => void;
  private dispatched: Dispatched | null = null;
  private sent = 0;
  private sentAll = false;
  private answerHead: ResultHead | null = null;
  private facts: InvokeFacts | null = null;
  private readonly chunks: Uint8Array[] = [];
  private bytes = 0;
  private complete = false;

  constructor(
    body: Uint8Array | null,
    options: CallOptions,
    resolve: (result: CallResult) => void,
    reject: (reason: unknown) => void,
  ) {
    this.body = body;
    this.options = options;
    this.resolve = resolve;
    this.reject = reject;
  }

  begin(dispatched: Dispatched): void {
    this.dispatched = dispatched;
    this.options.signal?.addEventListener('abort', this.onAbort, { once: true });
    this.drain();
  }

  drain(): void {
    const { body, dispatched } = this;
    if (dispatched === null || this.sentAll) return;
    if (body !== null) {
      while (this.sent < body.byteLength) {
        const piece = body.subarray(this.sent, this.sent + PIECE_BYTES);
        this.sent += piece.byteLength;
        if (!dispatched.write(piece) && this.sent < body.byteLength) return;
      }
    }
    this.sentAll = true;
    dispatched.end();
  }

  head(head: ResultHead, facts: InvokeFacts): void {
    this.answerHead = head;
    this.facts = facts;
  }

  data(chunk: Uint8Array): void {
    this.bytes += chunk.byteLength;
    if (this.bytes > MAX_CALL_ANSWER_BYTES) {
      this.dispatched?.abort('answer too large');
      const most = `${MAX_CALL_ANSWER_BYTES / 2 ** 20} MB`;
      this.fail(new HearthError('PAYLOAD_TOO_LARGE', `The function's answer is over ${most}.`));
      return;
    }
    this.chunks.push(chunk);
    this.dispatched?.consumed(chunk.byteLength);
  }

  end(): void {
    this.complete = true;
    if (this.options.settled !== true) this.finish();
  }

  failed(error: HearthError): void {
    this.fail(error);
  }

  released(): void {
    if (this.complete) this.finish();
  }

  private finish(): void {
    const { answerHead, facts, dispatched } = this;
    if (answerHead === null || facts === null || dispatched === null) {
      this.fail(new HearthError('INTERNAL', 'The answer ended before it began.'));
      return;
    }
    this.options.signal?.removeEventListener('abort', this.onAbort);
    const [only, second] = this.chunks;
    const body = only !== undefined && second === undefined ? only : Buffer.concat(this.chunks);
    this.resolve({ invocationId: dispatched.invocationId, head: answerHead, body, facts });
  }

  private fail(reason: unknown): void {
    this.options.signal?.removeEventListener('abort', this.onAbort);
    this.reject(reason);
  }

  private readonly onAbort = () => {
    const reason: unknown = this.options.signal?.reason;
    this.dispatched?.abort(reason instanceof Error ? reason.message : String(reason));
    this.reject(reason);
  };
}
