/**
 * How an asynchronous invocation ends: its record is kept, then its destination is told, then its message is done with. Each
 * of these may be repeated by whoever comes after a death.
 */
import type { Destination } from '../../../functions/contract/async.ts';
import { HearthError, toHearthError } from '../../../functions/contract/errors.ts';
import type { AsyncRecord } from '../../store/api/asyncs.ts';
import type { ClaimedMessage, Settlement } from '../../store/api/queues.ts';
import type { CallResult } from '../dispatcher.ts';
import type { AsyncParts } from './asyncs.ts';
import { type DestinationCall, encodeDestination } from './destination.ts';
import { payloadOf } from './payload.ts';
import { type AsyncCall, type Condition, destinationQueue, type Failure, MAX_RESULT_BYTES, reasonOf } from './plan.ts';

export function createEnding({ store, queues, now, keepMs }: Pick<AsyncParts, 'store' | 'queues' | 'now' | 'keepMs'>) {
  async function end(
    message: ClaimedMessage,
    call: AsyncCall,
    record: AsyncRecord,
    condition: Condition,
    failure: Failure | null,
    result: CallResult | null,
  ): Promise<Settlement> {
    const endedAt = now();
    const bytes = result?.body.byteLength ?? 0;
    Object.assign(record, {
      state: condition === 'Success' ? 'ok' : 'error',
      dueAt: null,
      endedAt,
      result: result?.head ?? null,
      omittedBytes: bytes > MAX_RESULT_BYTES ? bytes : null,
      error: failure,
      expiresAt: endedAt + keepMs,
    } satisfies Partial<AsyncRecord>);
    const body = result === null || record.omittedBytes !== null ? null : result.body;
    await keep(record, body);
    return settled(message, call, record, body, condition);
  }

  /** Of an invocation that has ended and whose record is kept: its destination is told, then its message is done with. */
  async function settled(
    message: ClaimedMessage,
    call: AsyncCall,
    record: AsyncRecord,
    body: Uint8Array | null,
    condition: Condition,
  ): Promise<Settlement> {
    const destination = condition === 'Success' ? call.plan.onSuccess : call.plan.onFailure;
    if (destination !== null && record.destination === null) {
      await tell(destination, message, call, record, body, condition);
    }
    // Only now: the consumer may have had to claim it anew meanwhile.
    const { id, fence } = message;
    if (condition === 'Success') return { id, fence, verdict: 'ack' };
    return { id, fence, verdict: 'dead', reason: reasonOf(condition, record.error) };
  }

  async function tell(
    destination: Destination,
    { traceparent, hops }: ClaimedMessage,
    call: AsyncCall,
    record: AsyncRecord,
    body: Uint8Array | null,
    condition: Condition,
  ): Promise<void> {
    const told: DestinationCall = {
      invocationId: record.id,
      functionName: record.functionName,
      trustGroup: call.trustGroup,
      destination,
      payload: payloadOf(call, record, body, condition),
    };
    const own = {
      // Of one end there is one message, however often it gets here.
      id: `${record.id}.${record.since}`,
      body: encodeDestination(told),
      contentType: 'json',
      delayS: 0,
      traceparent,
      hops,
    } as const;
    await afterRun(queues.accept(destinationQueue(record.functionName), [own]));
  }

  /** Where even the answer does not fit on a full disk, its end does. */
  async function keep(record: AsyncRecord, body: Uint8Array | null): Promise<void> {
    await afterRun(
      store.put(record, body).catch(async (error: unknown) => {
        if (body === null) throw error;
        record.omittedBytes = body.byteLength;
        await store.put(record, null);
      }),
    );
  }

  return { end, settled, keep };
}

/**
 * The store failed when the function had run: not to be taken for a want of room, after which it would be called again
 * and again without an attempt being used up.
 */
async function afterRun(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    throw new HearthError('INTERNAL', `What came of it could not be kept: ${toHearthError(error).message}`, {
      cause: error,
    });
  }
}
