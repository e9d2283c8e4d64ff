/** Cron ticks. */
import { type CronInvokeHead, type CronResultHead, monotonicMs } from '../../../functions/contract/invocation.ts';
import type { Invocation } from '../context.ts';
import type { Entrypoint } from '../guest.ts';

/** Runs the handler to its end. Rejects with what it threw. */
export async function runScheduled(
  head: CronInvokeHead,
  entrypoint: Entrypoint,
  invocation: Invocation,
): Promise<CronResultHead> {
  if (entrypoint.scheduled === null) throw new Error('The module has no scheduled handler.');
  let noRetry = false;
  const controller = {
    type: 'scheduled',
    cron: head.cron,
    scheduledTime: head.scheduledTime,
    noRetry: () => {
      noRetry = true;
    },
  };
  const calledAt = monotonicMs();
  await entrypoint.scheduled(controller, invocation);
  return { kind: 'cron-result', calledAt, noRetry, waiting: false };
}
