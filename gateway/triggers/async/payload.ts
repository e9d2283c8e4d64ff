/** What a destination is told: as AWS Lambda does it, in Hearth's names. */
import type { ResultHead } from '../../../functions/contract/invocation.ts';
import { MAX_MESSAGE_BYTES } from '../../../functions/contract/limits.ts';
import type { AsyncRecord } from '../../store/api/asyncs.ts';
import { askedOf, outcomeOf } from '../outcome.ts';
import type { AsyncCall, Condition } from './plan.ts';

export interface DestinationPayload {
  version: '1';
  /** ISO 8601, of the end. */
  timestamp: string;
  requestContext: {
    invocationId: string;
    function: string;
    /** Of the last attempt; null: there was none. */
    version: string | null;
    trigger: AsyncRecord['trigger'];
    condition: Condition;
    attempts: number;
  };
  request: Record<string, unknown>;
  /** Null where the function gave no answer: see error. */
  response: object | null;
  error: { code: string; message: string } | null;
  /** Of these the body is left out, since all of it together is over 128 KB. */
  omitted: ('request' | 'response')[];
}

/** So much is left for what stands around the payload in its own message. */
const MOST_BYTES = MAX_MESSAGE_BYTES - 8 * 1024;
const MOST_TEXT = 2000;

/** Fits into one message of a queue. `body`: of the answer. */
export function payloadOf(
  call: Pick<AsyncCall, 'head' | 'body'>,
  record: AsyncRecord,
  body: Uint8Array | null,
  condition: Condition,
): DestinationPayload {
  const result = record.result as ResultHead | null;
  const make = (omitted: DestinationPayload['omitted']): DestinationPayload => ({
    version: '1',
    timestamp: new Date(record.endedAt ?? record.since).toISOString(),
    requestContext: {
      invocationId: record.id,
      function: record.functionName,
      version: record.last?.version ?? null,
      trigger: record.trigger,
      condition,
      attempts: record.attempts,
    },
    request: askedOf(call.head, omitted.includes('request') ? null : call.body),
    response: result === null ? null : outcomeOf(result, omitted.includes('response') ? null : body),
    error: record.error === null ? null : { ...record.error, message: record.error.message.slice(0, MOST_TEXT) },
    omitted,
  });
  const already: DestinationPayload['omitted'] = record.omittedBytes === null ? [] : ['response'];
  for (const omitted of [already, ['response'] as const, ['request', 'response'] as const]) {
    const payload = make([...omitted]);
    if (Buffer.byteLength(JSON.stringify(payload)) <= MOST_BYTES) return payload;
  }
  // Headers alone are that long.
  const bare = make(['request', 'response']);
  return { ...bare, request: { trigger: record.trigger }, response: null };
}
