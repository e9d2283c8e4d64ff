/**
 * Asynchronous invocations: a message in the queue `async.FUNCTION`, and a record of what becomes of it.
 *
 *   accept ──► queued ──delivered──► running ──answered──► ok ──────► destination
 *                ▲                      ├──failed, tries left──► queued (due later)
 *                └──no room, or the     └──failed for good, too old──► error ──► dead letters, destination
 *                   gateway died
 *
 * Delivery is the queue's: leases, fences, drains, dead letters. What a delivery does is decided in delivery.ts. The record is
 * written before the message is settled, so that whoever comes after a death finds how far it had come: an ended one is
 * settled and not run again. A message whose record has failed and that comes with its first attempt was redriven.
 */
import { type AsyncPlan, asyncPlan } from '../../../functions/contract/async.ts';
import { HearthError } from '../../../functions/contract/errors.ts';
import { MAX_HOPS } from '../../../functions/contract/limits.ts';
import type { Registry, VersionEntry } from '../../registry/registry.ts';
import type { AsyncRecord, AsyncStore } from '../../store/api/asyncs.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { CallContext, Dispatcher, TriggerHead } from '../dispatcher.ts';
import type { Queues } from '../queue/queues.ts';
import type { Receiver } from '../queue/receiver.ts';
import { createDelivery } from './delivery.ts';
import { type DestinationParts, destinationReceiver } from './destination.ts';
import { asyncQueue, encodeCall, MAX_ASYNC_BYTES, ownQueue } from './plan.ts';
import { recordOf } from './record.ts';

export interface AsyncRequest {
  functionName: string;
  head: TriggerHead;
  body: Uint8Array | null;
  /** Whole id of the version that is to run; null: as the traffic says at each attempt. */
  version: string | null;
  plan: AsyncPlan;
  /** Of the function: which others its destinations may reach. */
  trustGroup: string;
}

export interface Asyncs {
  /**
   * Resolves with the invocation's id once message and record are durable. Throws PAYLOAD_TOO_LARGE, LOOP_DETECTED,
   * NO_CAPACITY.
   */
  accept(request: AsyncRequest, context: CallContext): Promise<string>;
  /** Of an asynchronous invocation, for as long as `keepMs` after its end; null: there is none. Throws NO_CAPACITY. */
  get(id: string): Promise<{ record: AsyncRecord; body: Uint8Array | null } | null>;
  /** For `own` of the queues: who takes the messages of these; null for all others. */
  receiver(queue: string): Receiver | null;
}

export interface AsyncParts {
  store: AsyncStore;
  registry: Pick<Registry, 'function' | 'isOpen'>;
  dispatcher: Pick<Dispatcher, 'call' | 'invocation'>;
  queues: Pick<Queues, 'accept' | 'enqueue'>;
  callback: DestinationParts['callback'];
  /** How long an outcome can be read. */
  keepMs: number;
  /** Epoch ms. */
  now(): number;
  newId(): string;
  log: Logger;
}

/** Of a function that is not there: somebody has to look whether its messages have become too old. */
const ABSENT_LIMITS = { concurrency: 1, maxInstances: 1 };

export function createAsyncs(parts: AsyncParts): Asyncs {
  const { store, registry, queues, keepMs, now, newId } = parts;
  const deliver = createDelivery(parts);

  async function accept(request: AsyncRequest, { traceparent, hops }: CallContext): Promise<string> {
    const { functionName, head, body, version, plan, trustGroup } = request;
    if (hops > MAX_HOPS) {
      throw new HearthError('LOOP_DETECTED', `An asynchronous invocation of "${functionName}" at hop ${hops}.`);
    }
    const message = encodeCall({ head, body, version, plan, trustGroup });
    if (message.byteLength > MAX_ASYNC_BYTES) {
      const most = `${MAX_ASYNC_BYTES / 1024 / 1024} MB`;
      throw new HearthError(
        'PAYLOAD_TOO_LARGE',
        `The request has ${message.byteLength} bytes; an asynchronous one may have ${most}. Keep large data elsewhere and send its key.`,
      );
    }
    const id = newId();
    const record = recordOf(id, functionName, head.trigger, now(), plan, keepMs);
    // The record first, in one commit where the store can: a message that is delivered finds it.
    const queue = asyncQueue(functionName);
    const own = { id, generatedId: true, body: message, contentType: 'json', delayS: 0, traceparent, hops } as const;
    await Promise.all([store.put(record, null), queues.accept(queue, [own])]);
    return id;
  }

  return {
    accept,
    get: (id) => store.get(id, now()),
    receiver(queue) {
      const own = ownQueue(queue);
      if (own === null) return null;
      const { kind, functionName } = own;
      if (kind === 'destinations') return destinationReceiver(functionName, { ...parts, invoke });
      return {
        functionName: () => (registry.function(functionName) === undefined ? null : functionName),
        limits: () => registry.function(functionName)?.active?.spec.limits ?? ABSENT_LIMITS,
        deliver: (messages) => Promise.all(messages.map((message) => deliver(functionName, message))),
      };
    },
  };

  /** For a destination that is a function. */
  async function invoke(target: VersionEntry, path: string, body: Uint8Array, context: CallContext): Promise<void> {
    const { functionName, manifest } = target;
    const url = new URL(path, `http://${functionName}.localhost`);
    const head: TriggerHead = {
      trigger: 'http',
      method: 'POST',
      url: url.href,
      headers: [
        ['content-type', 'application/json'],
        ['host', url.host],
      ],
      hasBody: true,
      upgrade: false,
      remoteAddress: '127.0.0.1',
    };
    const { async, trustGroup } = manifest.hearth;
    await accept({ functionName, head, body, version: null, plan: asyncPlan(undefined, async), trustGroup }, context);
  }
}
