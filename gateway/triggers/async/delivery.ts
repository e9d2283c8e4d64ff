/** One delivery of an asynchronous invocation's message: what it finds, the attempt, and what follows from how that went. */
import { type HearthError, toHearthError } from '../../../functions/contract/errors.ts';
import type { Registry, VersionEntry } from '../../registry/registry.ts';
import type { AsyncAttempt, AsyncRecord } from '../../store/api/asyncs.ts';
import type { ClaimedMessage, Settlement } from '../../store/api/queues.ts';
import { ARM } from '../../telemetry/names.ts';
import { chooseVersion } from '../choose.ts';
import type { CallResult } from '../dispatcher.ts';
import { foundNoRoom } from '../queue/plan.ts';
import type { AsyncParts } from './asyncs.ts';
import { createEnding } from './ending.ts';
import {
  ABSENT_RETRY_MS,
  type AsyncCall,
  afterFailure,
  conditionOf,
  decodeCall,
  failureFrom,
  failureOf,
  MOST_LOST_LEASES,
  tooOldAt,
  withAttempt,
} from './plan.ts';
import { begunAnew, recordOf } from './record.ts';

/** Of the function's own queue; resolves with what becomes of the message. Throws NO_CAPACITY where there was no room. */
export type Deliver = (functionName: string, message: ClaimedMessage) => Promise<Settlement>;

export function createDelivery(parts: AsyncParts): Deliver {
  const { store, registry, dispatcher, now, keepMs, log } = parts;
  const { end, settled, keep } = createEnding(parts);

  async function deliver(functionName: string, message: ClaimedMessage): Promise<Settlement> {
    const call = decodeCall(message.body);
    const found = await store.get(message.id, now());
    const { head, plan } = call;
    const record = found?.record ?? recordOf(message.id, functionName, head.trigger, message.timestamp, plan, keepMs);
    if (record.state === 'error' && message.attempts === 1) begunAnew(record, plan, now(), keepMs);
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

  return deliver;
}
