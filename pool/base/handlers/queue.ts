/** Batches of queue messages: decoding, and who decided what about each. */
import { deserialize } from 'node:v8';
import type { RetryOptions } from '../../../functions/contract/handlers.ts';
import {
  type MessageVerdict,
  monotonicMs,
  type QueueInvokeHead,
  type QueueMessageHead,
  type QueueResultHead,
} from '../../../functions/contract/invocation.ts';
import { MAX_DELAY_S } from '../../../functions/contract/limits.ts';
import type { IncomingBody } from '../body.ts';
import type { Invocation } from '../context.ts';
import { describeThrown } from '../describe.ts';
import type { Entrypoint } from '../guest.ts';

type Decision = { verdict: 'ack' } | { verdict: 'retry'; delayS: number | null };

/** Runs the handler to its end. What it throws becomes part of the result: explicit acks hold all the same. */
export async function runQueue(
  head: QueueInvokeHead,
  entrypoint: Entrypoint,
  invocation: Invocation,
  body: IncomingBody,
): Promise<QueueResultHead> {
  const handler = entrypoint.queue;
  if (handler === null) throw new Error('The module has no queue handler.');
  const bytes = body.takeWhole() ?? (await body.bytes());
  const batch = new Batch(head, bytes);
  const calledAt = monotonicMs();
  let error: QueueResultHead['error'] = null;
  try {
    await handler(batch.handed, invocation);
  } catch (thrown) {
    const described = describeThrown(thrown);
    invocation.log.error(described.stack);
    error = { name: described.name, message: described.message };
  }
  return { kind: 'queue-result', calledAt, verdicts: batch.verdicts(error !== null), error, waiting: false };
}

/**
 * The decisions of one batch. Workers' precedence: the first call wins; a batch-level call leaves out the messages that
 * were decided one by one before it; without any call the handler's end decides.
 */
class Batch {
  readonly #head: QueueInvokeHead;
  readonly #own = new Map<string, Decision>();
  #all: Decision | null = null;
  readonly handed: object;

  constructor(head: QueueInvokeHead, bytes: Uint8Array) {
    this.#head = head;
    let at = 0;
    const messages = head.messages.map((message) => {
      const end = at + message.bytes;
      if (end > bytes.length) throw new Error('The batch is shorter than its messages say.');
      const own = bytes.subarray(at, end);
      at = end;
      return this.#message(message, own);
    });
    this.handed = {
      queue: head.queue,
      messages,
      ackAll: () => {
        this.#all ??= { verdict: 'ack' };
      },
      retryAll: (options?: RetryOptions) => {
        this.#all ??= { verdict: 'retry', delayS: retryDelay(options) };
      },
    };
  }

  verdicts(threw: boolean): MessageVerdict[] {
    const rest: Decision = threw ? { verdict: 'retry', delayS: null } : { verdict: 'ack' };
    return this.#head.messages.map(({ id }) => ({ id, ...(this.#own.get(id) ?? this.#all ?? rest) }));
  }

  #message(head: QueueMessageHead, bytes: Uint8Array): object {
    const decide = (decision: Decision) => {
      if (this.#all === null && !this.#own.has(head.id)) this.#own.set(head.id, decision);
    };
    let decoded: { body: unknown } | null = null;
    return {
      id: head.id,
      timestamp: new Date(head.timestamp),
      attempts: head.attempts,
      // Decoded when touched, so that one message that cannot be read fails alone, where the handler can catch it.
      get body(): unknown {
        decoded ??= { body: decode(head, bytes) };
        return decoded.body;
      },
      ack: () => decide({ verdict: 'ack' }),
      retry: (options?: RetryOptions) => decide({ verdict: 'retry', delayS: retryDelay(options) }),
    };
  }
}

function decode(head: QueueMessageHead, bytes: Uint8Array): unknown {
  try {
    switch (head.contentType) {
      case 'json':
        return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'));
      case 'text':
        return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
      case 'bytes':
        return bytes.slice().buffer;
      case 'v8':
        return deserialize(bytes);
      default:
        return head.contentType satisfies never;
    }
  } catch (error) {
    throw new Error(`Message ${head.id} cannot be read as ${head.contentType}: ${describeThrown(error).message}`, {
      cause: error,
    });
  }
}

function retryDelay(options: RetryOptions | undefined): number | null {
  const delay = options?.delaySeconds;
  if (delay === undefined) return null;
  if (!Number.isInteger(delay) || delay < 0 || delay > MAX_DELAY_S) {
    throw new TypeError(`delaySeconds has to be a whole number from 0 to ${MAX_DELAY_S}, not ${String(delay)}.`);
  }
  return delay;
}
