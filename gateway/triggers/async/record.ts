/** The record of an asynchronous invocation as it begins, and as it begins anew. `keepMs`: how long an outcome can be read. */
import type { AsyncPlan } from '../../../functions/contract/async.ts';
import type { AsyncRecord } from '../../store/api/asyncs.ts';

export function recordOf(
  id: string,
  functionName: string,
  trigger: AsyncRecord['trigger'],
  acceptedAt: number,
  plan: AsyncPlan,
  keepMs: number,
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
    expiresAt: acceptedAt + plan.maxAgeSeconds * 1000 + keepMs,
  };
}

/** Taken out of the dead letters: all its attempts are before it again, and all of its age. */
export function begunAnew(record: AsyncRecord, plan: AsyncPlan, nowMs: number, keepMs: number): void {
  const { id, functionName, trigger, acceptedAt } = record;
  Object.assign(record, { ...recordOf(id, functionName, trigger, nowMs, plan, keepMs), acceptedAt });
}
