/**
 * Asynchronous invocations: a message in the queue `async.FUNCTION`, and a record of what becomes of it.
 *
 *   accept ──► queued ──delivered──► running ──answered──► ok ──────► destination
 *                ▲                      ├──failed, tries left──► queued (due later)
 *                └──no room, or the     └──failed for good, too old──► error ──► dead letters, destination
 *                   gateway died
 *
 * Delivery is the queue's: leases, fences, drains, dead letters. Here it is decided what a delivery does. The record is
 * written before the message is settled, so that whoever comes after a death finds how far it had come: an ended one is
 * settled and not run again. A message whose record has failed and that comes with its first attempt was redriven.
 */
import { type AsyncPlan, asyncPlan, type Destination } from '../../../functions/contract/async.ts';
import { HearthError, toHearthError } from '../../../functions/contract/errors.ts';
import { MAX_HOPS } from '../../../functions/contract/limits.ts';
import type { Registry, VersionEntry } from '../../registry/registry.ts';
import type { AsyncAttempt, AsyncRecord, AsyncStore } from '../../store/api/asyncs.ts';
import type { ClaimedMessage, Settlement } from '../../store/api/queues.ts';
import type { Logger } from '../../telemetry/log.ts';
import { ARM } from '../../telemetry/names.ts';
import { chooseVersion } from '../choose.ts';
import type { CallContext, CallResult, Dispatcher, TriggerHead } from '../dispatcher.ts';
import { foundNoRoom } from '../queue/plan.ts';
import type { Queues } from '../queue/queues.ts';
import type { Receiver } from '../queue/receiver.ts';
import { type DestinationCall, type DestinationParts, destinationReceiver, encodeDestination } from './destination.ts';
import { payloadOf } from './payload.ts';
import {
  ABSENT_RETRY_MS,
  type AsyncCall,
  afterFailure,
  asyncQueue,
  type Condition,
  conditionOf,
  decodeCall,
  destinationQueue,
  encodeCall,
  type Failure,
  failureFrom,
  failureOf,
  MAX_ASYNC_BYTES,
  MAX_RESULT_BYTES,
  MOST_LOST_LEASES,
  ownQueue,
  READABLE_MS,
  reasonOf,
  tooOldAt,
  withAttempt,
} from './plan.ts';

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
  /** Of an asynchronous invocation, for a day after its end; null: there is none. Throws NO_CAPACITY. */
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
  /** Epoch ms. */
  now(): number;
  newId(): string;
  log: Logger;
}

/** Of a function that is not there: somebody has to look whether its messages have become too old. */
const ABSENT_LIMITS = { concurrency: 1, maxInstances: 1 };

export function createAsyncs(parts: AsyncParts): Asyncs {
  const { store, registry, dispatcher, queues, now, newId, log } = parts;

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
    const record = recordOf(id, functionName, head.trigger, now(), plan);
    // The record first, in one commit where the store can: a message that is delivered finds it.
    const queue = asyncQueue(functionName);
    const own = { id, generatedId: true, body: message, contentType: 'json', delayS: 0, traceparent, hops } as const;
    await Promise.all([store.put(record, null), queues.accept(queue, [own])]);
    return id;
  }

  async function deliver(functionName: string, message: ClaimedMessage): Promise<Settlement> {
    const call = decodeCall(message.body);
    const found = await store.get(message.id, now());
    const record = found?.record ?? recordOf(message.id, functionName, call.head.trigger, message.timestamp, call.plan);
    if (record.state === 'error' && message.attempts === 1) begunAnew(record, call.plan, now());
    record.attempts = message.attempts;
    if (record.state === 'ok' || record.state === 'error') {
      return settled(message, call, record, found?.body ?? null, conditionOf(record, call.plan));
    }
    if (now() > tooOldAt(record, call.plan)) return end(message, call, record, 'MaxAgeExceeded', record.error, null);
    if (message.attempts > call.plan.retries + 1 + MOST_LOST_LEASES) {
      const failure = { code: 'FUNCTION_CRASHED', message: 'Each gateway that ran it was gone before it ended.' };
      return end(message, call, record, 'RetriesExhausted', failure, null);
    }
    return attempt(message, call, record);
  }

  async function attempt(message: ClaimedMessage, call: AsyncCall, record: AsyncRecord): Promise<Settlement> {
    const entry = registry.function(record.functionName);
    const chosen = entry === undefined ? undefined : choose(call, entry);
    if (entry === undefined || chosen === undefined) return absent(message, call, record);

    const { version, arm } = chosen;
    const last = beginning(version, now());
    Object.assign(record, { state: 'running', dueAt: null, last } satisfies Partial<AsyncRecord>);
    const marked = store.put(record, null).catch((error: unknown) => {
      log.error('That an asynchronous invocation runs could not be noted.', { invocation_id: record.id, error });
    });
    const head = withAttempt(call.head, message.attempts);
    const { traceparent, hops } = message;
    let result: CallResult | null = null;
    let thrown: HearthError | null = null;
    try {
      const options = { invocationId: record.id, settled: true, arm };
      result = await dispatcher.call(entry, version, head, { traceparent, hops }, call.body, options);
    } catch (error) {
      thrown = toHearthError(error);
    }
    await marked;
    finished(last, record.id, result);
    if (thrown !== null && foundNoRoom(thrown)) {
      Object.assign(record, {
        state: 'queued',
        dueAt: now(),
        error: failureFrom(thrown),
      } satisfies Partial<AsyncRecord>);
      await keep(record, null);
      throw thrown;
    }
    const failure = thrown === null ? (result === null ? null : failureOf(result.head)) : failureFrom(thrown);
    if (failure === null) return end(message, call, record, 'Success', null, result);
    record.failures += 1;
    const next = afterFailure(record, call.plan, failure, now());
    if ('end' in next) return end(message, call, record, next.end, failure, result);
    Object.assign(record, { state: 'queued', dueAt: next.retryAt, error: failure } satisfies Partial<AsyncRecord>);
    await keep(record, null);
    const reason = `${failure.code}: ${failure.message}`.slice(0, 500);
    return { id: message.id, fence: message.fence, verdict: 'retry', dueAt: next.retryAt, countAttempt: true, reason };
  }

  function choose(call: AsyncCall, entry: NonNullable<ReturnType<Registry['function']>>) {
    if (call.version === null) return chooseVersion(entry, call.head, call.body);
    const version = entry.find(call.version);
    return version === undefined ? undefined : { version, arm: ARM.override };
  }

  /**
   * Nobody to call: not deployed any more, nothing activated, or not yet known to this gateway. It waits until it is too
   * old.
   */
  async function absent(message: ClaimedMessage, call: AsyncCall, record: AsyncRecord): Promise<Settlement> {
    const which = call.version === null ? 'a version that takes traffic' : `the version "${call.version}"`;
    const failure = { code: 'NOT_FOUND', message: `There is no function "${record.functionName}" with ${which}.` };
    const dueAt = now() + ABSENT_RETRY_MS;
    if (dueAt > tooOldAt(record, call.plan)) return end(message, call, record, 'MaxAgeExceeded', failure, null);
    Object.assign(record, { state: 'queued', dueAt, error: failure } satisfies Partial<AsyncRecord>);
    await keep(record, null);
    const { id, fence } = message;
    return { id, fence, verdict: 'retry', dueAt, countAttempt: false, reason: failure.message };
  }

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
      expiresAt: endedAt + READABLE_MS,
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

  function beginning({ version }: VersionEntry, startedAt: number): AsyncAttempt {
    return { version, startedAt, endedAt: null, traceId: null, start: null, instance: null, phases: null };
  }

  function finished(last: AsyncAttempt, id: string, result: CallResult | null): void {
    const known = dispatcher.invocation(id);
    const facts = result?.facts ?? known?.facts ?? null;
    Object.assign(last, {
      endedAt: now(),
      traceId: known?.traceId ?? null,
      start: facts?.start ?? null,
      instance: facts?.instance ?? null,
      phases: facts === null ? null : { ...facts.phases },
    } satisfies Partial<AsyncAttempt>);
  }
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

function recordOf(
  id: string,
  functionName: string,
  trigger: AsyncRecord['trigger'],
  acceptedAt: number,
  plan: AsyncPlan,
): AsyncRecord {
  return {
    id,
    functionName,
    trigger,
    state: 'queued',
    attempts: 0,
    failures: 0,
    acceptedAt,
    since: acceptedAt,
    dueAt: acceptedAt,
    endedAt: null,
    last: null,
    result: null,
    omittedBytes: null,
    error: null,
    destination: null,
    expiresAt: acceptedAt + plan.maxAgeSeconds * 1000 + READABLE_MS,
  };
}

/** Taken out of the dead letters: all its attempts are before it again, and all of its age. */
function begunAnew(record: AsyncRecord, plan: AsyncPlan, nowMs: number): void {
  const { id, functionName, trigger, acceptedAt } = record;
  Object.assign(record, { ...recordOf(id, functionName, trigger, nowMs, plan), acceptedAt });
}
