/** Queue producers: `env.QUEUE.send` and `sendBatch`. */
import { HearthError } from '../../functions/contract/errors.ts';
import type { BindingSpec } from '../../functions/contract/invocation.ts';
import { MAX_SEND_BATCH_BYTES } from '../../functions/contract/limits.ts';
import type { Exchange } from '../../pool/link/link.ts';
import type { CallContext } from '../triggers/dispatcher.ts';
import type { Queues } from '../triggers/queue/queues.ts';
import { type BodyRoom, NO_BODY, withBody } from './body.ts';
import type { CheckedCalls } from './calls.ts';

/** Answers `{ids}` once the messages are durable. Rejects with HearthError. */
export async function queueCall(
  queues: Pick<Queues, 'enqueue'>,
  binding: Extract<BindingSpec, { kind: 'queue' }>,
  call: CheckedCalls['queue'],
  context: CallContext,
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
      const message = { body: body.slice(start, end), contentType, delayS: delayS ?? binding.deliveryDelayS ?? null };
      start = end;
      return message;
    });
    return queues.enqueue(binding.queue, messages, context);
  });
  exchange.sendHead({ ids }, null, true);
}
