/** Producers of queues and publishers to topics: messages of one call, whole before they are handed on. */
import { HearthError } from '../../functions/contract/errors.ts';
import { MAX_SEND_BATCH_BYTES } from '../../functions/contract/limits.ts';
import type { Exchange } from '../../pool/link/link.ts';
import type { EnqueueMessage } from '../triggers/queue/messages.ts';
import { type BodyRoom, NO_BODY, withBody } from './body.ts';
import type { CheckedCalls } from './calls.ts';

/** Answers `{ids}` once the messages are durable. Rejects with HearthError. */
export async function sendCall(
  send: (messages: EnqueueMessage[]) => Promise<{ ids: string[] }>,
  call: CheckedCalls['queue' | 'topic'],
  deliveryDelayS: number | null,
  room: BodyRoom,
  exchange: Exchange,
): Promise<void> {
  const total = call.messages.reduce((sum, { bytes }) => sum + bytes, 0);
  if (total > MAX_SEND_BATCH_BYTES) {
    exchange.handler = NO_BODY;
    const most = `${MAX_SEND_BATCH_BYTES / 1024} KB`;
    throw new HearthError('PAYLOAD_TOO_LARGE', `The messages have ${total} bytes together; at most ${most}.`);
  }
  const { ids } = await withBody(exchange, total, room, (body) => {
    if (body.byteLength !== total) {
      throw new HearthError('BAD_REQUEST', `${total} bytes of messages were announced and ${body.byteLength} came.`);
    }
    let start = 0;
    const messages = call.messages.map(({ contentType, bytes, delayS }) => {
      const end = start + bytes;
      const message = { body: body.slice(start, end), contentType, delayS: delayS ?? deliveryDelayS };
      start = end;
      return message;
    });
    return send(messages);
  });
  exchange.sendHead({ ids }, null, true);
}
