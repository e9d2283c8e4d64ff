/**
 * Tells the destination of an asynchronous invocation what came of it: a message of its own, so that a destination that
 * does not answer holds up no invocation, and is tried again without the function being run again.
 */
import type { Destination } from '../../../functions/contract/async.ts';
import { HearthError, toHearthError } from '../../../functions/contract/errors.ts';
import type { Registry, VersionEntry } from '../../registry/registry.ts';
import type { AsyncRecord, AsyncStore } from '../../store/api/asyncs.ts';
import type { ClaimedMessage, Settlement } from '../../store/api/queues.ts';
import type { CallContext } from '../dispatcher.ts';
import { foundNoRoom } from '../queue/plan.ts';
import type { Queues } from '../queue/queues.ts';
import type { Receiver } from '../queue/receiver.ts';
import type { Callback } from './callback.ts';
import type { DestinationPayload } from './payload.ts';

export interface DestinationCall {
  invocationId: string;
  functionName: string;
  /** Of that function: which others it may reach. */
  trustGroup: string;
  destination: Destination;
  payload: DestinationPayload;
}

export interface DestinationParts {
  store: AsyncStore;
  registry: Pick<Registry, 'function' | 'isOpen'>;
  queues: Pick<Queues, 'enqueue'>;
  callback: Callback;
  /** Accepts an asynchronous invocation: POST of this body. */
  invoke(target: VersionEntry, path: string, body: Uint8Array, context: CallContext): Promise<void>;
  /** Epoch ms. */
  now(): number;
}

/** Before the second attempt and the third, which is the last. */
export const DESTINATION_DELAYS_MS: readonly number[] = [10_000, 60_000];

/** Of one function's destinations so many are told at once. */
const LIMITS = { concurrency: 8, maxInstances: 1 };

/** Another attempt would end the same. */
const HOPELESS: ReadonlySet<string> = new Set(['FORBIDDEN', 'LOOP_DETECTED', 'BAD_REQUEST', 'PAYLOAD_TOO_LARGE']);

export function encodeDestination(call: DestinationCall): Uint8Array {
  return Buffer.from(JSON.stringify(call));
}

export function destinationReceiver(functionName: string, parts: DestinationParts): Receiver {
  const { store, registry, now } = parts;

  async function deliver(message: ClaimedMessage): Promise<Settlement> {
    const call = JSON.parse(Buffer.from(message.body).toString()) as DestinationCall;
    const { id, attempts } = message;
    try {
      await tell(call, message, parts);
    } catch (thrown) {
      const error = thrown instanceof HearthError || !(thrown instanceof Error) ? toHearthError(thrown) : thrown;
      if (error instanceof HearthError && foundNoRoom(error)) throw error;
      const reason = (error instanceof HearthError ? `${error.code}: ${error.message}` : error.message).slice(0, 500);
      const delayMs = DESTINATION_DELAYS_MS[attempts - 1];
      const hopeless = error instanceof HearthError && HOPELESS.has(error.code);
      if (delayMs !== undefined && !hopeless) {
        return { id, fence: message.fence, verdict: 'retry', dueAt: now() + delayMs, countAttempt: true, reason };
      }
      await note(call, { target: targetOf(call.destination), outcome: 'failed', error: reason });
      return { id, fence: message.fence, verdict: 'dead', reason };
    }
    await note(call, { target: targetOf(call.destination), outcome: 'delivered', error: null });
    // Of the claim it has now: the consumer may have had to claim it anew meanwhile.
    return { id, fence: message.fence, verdict: 'ack' };
  }

  async function note({ invocationId }: DestinationCall, destination: AsyncRecord['destination']): Promise<void> {
    const found = await store.get(invocationId, now());
    // It has expired, or was redriven and runs again: this is no news of it.
    if (found === null || found.record.endedAt === null) return;
    await store.put({ ...found.record, destination }, found.body);
  }

  return {
    functionName: () => (registry.function(functionName) === undefined ? null : functionName),
    limits: () => LIMITS,
    deliver: (messages) => Promise.all(messages.map(deliver)),
  };
}

async function tell(call: DestinationCall, message: ClaimedMessage, parts: DestinationParts): Promise<void> {
  const { destination, payload, invocationId } = call;
  const { id, traceparent, attempts } = message;
  const body = Buffer.from(JSON.stringify(payload));
  const context = { traceparent, hops: message.hops + 1 };
  if ('queue' in destination) {
    // Under the id of this message: told again, it is the same one.
    await parts.queues.enqueue(destination.queue, [{ id, body, contentType: 'json', delayS: null }], context);
  } else if ('function' in destination) {
    await parts.invoke(reached(parts.registry, call.trustGroup, destination.function), destination.path, body, context);
  } else {
    const headers = {
      'hearth-invocation-id': invocationId,
      'hearth-attempt': String(attempts),
      'idempotency-key': id,
      ...(traceparent === null ? {} : { traceparent }),
    };
    await parts.callback(destination.url, headers, body);
  }
}

/** What a service binding would reach: whatever is of its trust group, and what is open to everybody. */
function reached(registry: Pick<Registry, 'function' | 'isOpen'>, trustGroup: string, name: string): VersionEntry {
  const target = registry.function(name)?.active;
  // Not FORBIDDEN and not hopeless: it may be deployed by the next attempt.
  if (target === undefined) throw new HearthError('NOT_FOUND', `No function "${name}" is active.`);
  const { hearth } = target.manifest;
  if (hearth.trustGroup !== trustGroup && !(registry.isOpen(name) && hearth.auth === null)) {
    throw new HearthError('FORBIDDEN', `"${name}" is of another trust group, and not open to everybody.`);
  }
  return target;
}

/** As the record names it. A URL without its query, which may hold a secret. */
export function targetOf(destination: Destination): string {
  if ('queue' in destination) return `queue ${destination.queue}`;
  if ('function' in destination) return `function ${destination.function}`;
  const { origin, pathname } = new URL(destination.url);
  return `url ${origin}${pathname}`;
}
