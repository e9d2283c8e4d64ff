/** How asynchronous invocations behave: names of their queues, what counts as a failure, when they are tried again. Pure. */
import type { AsyncPlan } from '../../../functions/contract/async.ts';
import type { HearthError } from '../../../functions/contract/errors.ts';
import type { ResultHead } from '../../../functions/contract/invocation.ts';
import { NAME_PATTERN } from '../../../functions/contract/limits.ts';
import type { AsyncRecord } from '../../store/api/asyncs.ts';
import type { TriggerHead } from '../dispatcher.ts';
import { bytesOf, textOf } from '../outcome.ts';

/** Request of one invocation, everything around it included. AWS Lambda: 1 MB. */
export const MAX_ASYNC_BYTES = 1024 * 1024;
/** Of an answer so much is kept; of a longer one status and headers. */
export const MAX_RESULT_BYTES = 1024 * 1024;
/** Leases that may end unsettled, beyond the attempts: a gateway that dies is no fault of the function, up to here. */
export const MOST_LOST_LEASES = 10;
/** Until it is looked again for a function, or a version, that is not there. */
export const ABSENT_RETRY_MS = 30_000;

export function asyncQueue(functionName: string): string {
  return `async.${functionName}`;
}

export function destinationQueue(functionName: string): string {
  return `async.${functionName}.destinations`;
}

/** What one of Hearth's own queues is for; null: it is none, or one of dead letters. */
export function ownQueue(queue: string): { kind: 'invocations' | 'destinations'; functionName: string } | null {
  const [own, functionName = '', kind, more] = queue.split('.');
  if (own !== 'async' || more !== undefined || !NAME_PATTERN.test(functionName)) return null;
  if (kind === undefined) return { kind: 'invocations', functionName };
  return kind === 'destinations' ? { kind, functionName } : null;
}

/** What an invocation is made of, at each of its attempts. */
export interface AsyncCall {
  head: TriggerHead;
  body: Uint8Array | null;
  /** Null: as the traffic says at each attempt. */
  version: string | null;
  plan: AsyncPlan;
  /** Of the function when it was accepted: which others its destinations may reach. */
  trustGroup: string;
}

interface AsyncMessage extends Omit<AsyncCall, 'body'> {
  body: { body: string; bodyEncoding: 'text' | 'base64' } | null;
}

/** As JSON, so that its dead letters can be read. */
export function encodeCall(call: AsyncCall): Uint8Array {
  const message: AsyncMessage = { ...call, body: call.body === null ? null : textOf(call.body) };
  return Buffer.from(JSON.stringify(message));
}

/** Of what encodeCall made. */
export function decodeCall(bytes: Uint8Array): AsyncCall {
  const message = JSON.parse(Buffer.from(bytes).toString()) as AsyncMessage;
  return { ...message, body: message.body === null ? null : bytesOf(message.body) };
}

/** Ours alone to say. */
const ATTEMPT_HEADER = 'hearth-attempt';

/** Told the function where its trigger has a place for it: `hearth-attempt` of a request, `attempts` of a message. */
export function withAttempt(head: TriggerHead, attempt: number): TriggerHead {
  switch (head.trigger) {
    case 'http':
      return {
        ...head,
        headers: [...head.headers.filter(([name]) => name !== ATTEMPT_HEADER), [ATTEMPT_HEADER, String(attempt)]],
      };
    case 'queue':
      return {
        ...head,
        messages: head.messages.map((message) => ({ ...message, attempts: message.attempts + attempt - 1 })),
      };
    case 'cron':
    case 'rpc':
      return head;
  }
}

export interface Failure {
  code: string;
  message: string;
}

/** What an answer failed with: a request answered with 500 or more, a batch whose handler threw. Null: it did not. */
export function failureOf(head: ResultHead): Failure | null {
  if (head.kind === 'response' && head.status >= 500) {
    return { code: 'FUNCTION_EXCEPTION', message: `It answered with the status ${head.status}.` };
  }
  const thrown = head.kind === 'queue-result' || head.kind === 'rpc-result' ? head.error : null;
  return thrown ? { code: 'FUNCTION_EXCEPTION', message: `${thrown.name}: ${thrown.message}` } : null;
}

/** Failures that another attempt meets again. */
const HOPELESS: ReadonlySet<string> = new Set(['LOOP_DETECTED', 'BAD_REQUEST', 'PAYLOAD_TOO_LARGE']);

export type Condition = 'Success' | 'RetriesExhausted' | 'MaxAgeExceeded' | 'NotRetryable';

export type Next = { retryAt: number } | { end: Exclude<Condition, 'Success'> };

/** After so many failures, the last of which is this one. */
export function afterFailure(record: AsyncRecord, plan: AsyncPlan, failure: Failure, nowMs: number): Next {
  if (HOPELESS.has(failure.code)) return { end: 'NotRetryable' };
  if (record.failures > plan.retries) return { end: 'RetriesExhausted' };
  const delays = plan.retryDelaysSeconds;
  const delayS = delays[Math.min(record.failures, delays.length) - 1] ?? 0;
  const retryAt = nowMs + delayS * 1000;
  return retryAt > tooOldAt(record, plan) ? { end: 'MaxAgeExceeded' } : { retryAt };
}

/** Of a record that has ended: why it did. */
export function conditionOf(record: AsyncRecord, plan: AsyncPlan): Condition {
  if (record.state === 'ok') return 'Success';
  if (record.failures > 0 && HOPELESS.has(record.error?.code ?? '')) return 'NotRetryable';
  return record.failures > plan.retries ? 'RetriesExhausted' : 'MaxAgeExceeded';
}

/** No attempt begins later than this. */
export function tooOldAt(record: Pick<AsyncRecord, 'since'>, plan: AsyncPlan): number {
  return record.since + plan.maxAgeSeconds * 1000;
}

export function reasonOf(condition: Condition, failure: Failure | null): string {
  const last = failure === null ? '' : `: ${failure.code}: ${failure.message}`;
  return `${condition}${last}`.slice(0, 500);
}

/** A foreign error, as records keep it. */
export function failureFrom({ code, message }: HearthError): Failure {
  return { code, message: message.slice(0, 2000) };
}
