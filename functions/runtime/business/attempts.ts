/** One step's calls: each within its time, again after a pause when a failure may pass. */
import type { Clock } from './clock.ts';
import { BusinessError, fromThrown } from './errors.ts';
import type { RetryPolicy } from './flow.ts';

export interface AttemptOptions {
  retry: Required<RetryPolicy>;
  /** Of one attempt. */
  timeoutMs: number;
  /** Ends the attempt that runs, and there is no other. */
  signal: AbortSignal;
  clock: Clock;
}

/**
 * `call` gets the number of the attempt and a signal that ends with it. Throws BusinessError: the last one's, marked
 * `outcomeUnknown` when that holds for any of them.
 */
export async function withRetries<T>(
  options: AttemptOptions,
  call: (attempt: number, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { retry, signal, clock } = options;
  let outcomeUnknown = false;
  for (let attempt = 1; ; attempt++) {
    try {
      return await limited(options, (own) => call(attempt, own));
    } catch (thrown) {
      const error = fromThrown(thrown, {});
      outcomeUnknown ||= error.outcomeUnknown;
      const again = error.retryable && attempt < retry.attempts && !signal.aborted;
      if (!again || !(await clock.sleep(pauseBefore(attempt + 1, retry, clock), signal))) {
        throw outcomeUnknown ? error.withOutcomeUnknown() : error;
      }
    }
  }
}

/** Ms, a fifth more or less: many that failed together must not come back together. */
export function pauseBefore(attempt: number, retry: Required<RetryPolicy>, clock: Pick<Clock, 'random'>): number {
  const pause = Math.min(retry.maxBackoffMs, retry.backoffMs * retry.factor ** (attempt - 2));
  return pause * (0.8 + 0.4 * clock.random());
}

/** A component that does not heed its signal is left behind: nobody waits for it. */
function limited<T>({ timeoutMs, signal, clock }: AttemptOptions, call: (signal: AbortSignal) => Promise<T>) {
  return new Promise<T>((resolve, reject) => {
    if (signal.aborted) {
      reject(new BusinessError('ABORTED', whyAborted(signal)));
      return;
    }
    const work = new AbortController();
    const timer = new AbortController();
    const settle = () => {
      timer.abort();
      signal.removeEventListener('abort', aborted);
    };
    const give = (error: BusinessError) => {
      settle();
      reject(error);
      work.abort(error);
    };
    const aborted = () => give(new BusinessError('ABORTED', whyAborted(signal), { outcomeUnknown: true }));
    signal.addEventListener('abort', aborted, { once: true });
    const late = `no result within ${timeoutMs} ms`;
    clock.sleep(timeoutMs, timer.signal).then((elapsed) => {
      if (elapsed) give(new BusinessError('TIMEOUT', late, { retryable: true, outcomeUnknown: true }));
    }, reject);
    call(work.signal).then(
      (value) => {
        settle();
        resolve(value);
      },
      (error: unknown) => {
        settle();
        reject(error);
      },
    );
  });
}

function whyAborted({ reason }: AbortSignal): string {
  return reason instanceof Error ? reason.message : 'the caller has gone';
}
