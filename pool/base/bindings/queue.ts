/** `queues.producers` in `env`: what the function sends, encoded and bounded as Workers does. */
import { serialize } from 'node:v8';
import type { Queue, QueueContentType } from '../../../functions/contract/handlers.ts';
import {
  MAX_BATCH_MESSAGES,
  MAX_DELAY_S,
  MAX_MESSAGE_BYTES,
  MAX_SEND_BATCH_BYTES,
} from '../../../functions/contract/limits.ts';
import type { Topic } from '../../../functions/contract/services.ts';
import { concat } from '../body.ts';
import type { BindingCalls } from './call.ts';

interface SendOptions {
  contentType?: QueueContentType;
  delaySeconds?: number;
}

interface Encoded {
  contentType: QueueContentType;
  bytes: Uint8Array;
  delayS: number | null;
}

/** `deliveryDelayS`: the producer's own default of the manifest. */
export function queueProducer(
  calls: BindingCalls,
  deliveryDelayS: number | undefined,
  op: 'queue.send' | 'topic.publish' = 'queue.send',
): Queue {
  const send = async (messages: Encoded[]): Promise<void> => {
    await calls.ask<{ ids: string[] }>(
      {
        op,
        messages: messages.map(({ contentType, bytes, delayS }) => ({ contentType, bytes: bytes.length, delayS })),
      },
      concat(messages.map((message) => message.bytes)),
    );
  };
  return {
    async send(body: unknown, options: SendOptions = {}): Promise<void> {
      await send([encode(body, options, deliveryDelayS)]);
    },
    async sendBatch(
      messages: Iterable<SendOptions & { body: unknown }>,
      options: { delaySeconds?: number } = {},
    ): Promise<void> {
      const fallback = options.delaySeconds ?? deliveryDelayS;
      const encoded = Array.from(messages, (message) => encode(message.body, message, fallback));
      if (encoded.length === 0) throw new TypeError('sendBatch() requires at least one message.');
      if (encoded.length > MAX_BATCH_MESSAGES) {
        throw new Error(
          `Queue sendBatch failed: ${encoded.length} messages exceed the limit of ${MAX_BATCH_MESSAGES}.`,
        );
      }
      const bytes = encoded.reduce((sum, message) => sum + message.bytes.length, 0);
      if (bytes > MAX_SEND_BATCH_BYTES) {
        throw new Error(`Queue sendBatch failed: ${bytes} bytes exceed the limit of ${MAX_SEND_BATCH_BYTES}.`);
      }
      await send(encoded);
    },
  };
}

/** A publisher to a topic says the same in other words. */
export function topicPublisher(calls: BindingCalls): Topic {
  const { send, sendBatch } = queueProducer(calls, undefined, 'topic.publish');
  return { publish: send, publishBatch: sendBatch };
}

function encode(body: unknown, options: SendOptions, fallbackDelayS: number | undefined): Encoded {
  const contentType = options.contentType ?? 'json';
  const bytes = toBytes(contentType, body);
  if (bytes.length > MAX_MESSAGE_BYTES) {
    throw new Error(`Queue send failed: message length of ${bytes.length} bytes exceeds limit of ${MAX_MESSAGE_BYTES}`);
  }
  const delayS = options.delaySeconds ?? fallbackDelayS ?? null;
  if (delayS !== null && (!Number.isInteger(delayS) || delayS < 0 || delayS > MAX_DELAY_S)) {
    throw new TypeError(`delaySeconds has to be a whole number from 0 to ${MAX_DELAY_S}, not ${String(delayS)}.`);
  }
  return { contentType, bytes, delayS };
}

function toBytes(contentType: QueueContentType, body: unknown): Uint8Array {
  switch (contentType) {
    case 'json': {
      const text = JSON.stringify(body);
      if (text === undefined) throw new TypeError('A queue message of type "json" has to be a JSON value.');
      return Buffer.from(text);
    }
    case 'text':
      if (typeof body !== 'string') throw new TypeError('A queue message of type "text" has to be a string.');
      return Buffer.from(body);
    case 'bytes':
      if (body instanceof ArrayBuffer) return new Uint8Array(body);
      if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
      throw new TypeError('A queue message of type "bytes" has to be an ArrayBuffer or a view of one.');
    case 'v8':
      return serialize(body);
    default:
      throw new TypeError(`Unsupported queue message content type: ${String(contentType satisfies never)}`);
  }
}
