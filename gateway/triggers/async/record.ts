/** The record of an asynchronous invocation as it begins, and as it begins anew. */
import type { AsyncPlan } from '../../../functions/contract/async.ts';
import type { AsyncRecord } from '../../store/api/asyncs.ts';
import { READABLE_MS } from './plan.ts';

export function recordOf(
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
export function begunAnew(record: AsyncRecord, plan: AsyncPlan, nowMs: number): void {
  const { id, functionName, trigger, acceptedAt } = record;
  Object.assign(record, { ...recordOf(id, functionName, trigger, nowMs, plan), acceptedAt });
}
