/** How queues behave: settings, retries, how many batches at once. Pure; consumer.ts applies it. */
import type { HearthError } from '../../../functions/contract/errors.ts';
import type { QueueResultHead } from '../../../functions/contract/invocation.ts';
import { MAX_DELAY_S } from '../../../functions/contract/limits.ts';
import type { Manifest } from '../../../functions/contract/manifest.ts';
import type { ModuleLimits } from '../../../pool/keeper/api.ts';
import type { ClaimedMessage, QueueSettings, Settlement } from '../../store/api/queues.ts';

/** Batches in flight of a consumer that names no max_concurrency: enough to keep instances busy while they wait. */
export const DEFAULT_CONCURRENCY = 64;

/** A message that takes down its base so often goes to the dead letters, whatever retries it has left. */
export const MOST_KILLS = 3;

/** Backoff of retries that name no delay: 200 ms for the first, doubled up to this. */
const FIRST_BACKOFF_MS = 200;
const MOST_BACKOFF_MS = 30_000;

export type ConsumerManifest = Manifest['queues']['consumers'][number];

/** What a consumer's manifest decides; the rest stays as the API set it. */
export function consumerSettings(consumer: ConsumerManifest, current: QueueSettings): QueueSettings {
  return {
    maxBatchSize: consumer.max_batch_size,
    maxBatchTimeoutS: consumer.max_batch_timeout,
    maxRetries: consumer.max_retries,
    retryDelayS: consumer.retry_delay,
    deliveryDelayS: current.deliveryDelayS,
    maxConcurrency: consumer.max_concurrency,
    deadLetterQueue: consumer.dead_letter_queue,
    paused: current.paused,
  };
}

/** Keys of the settings that `consumerSettings` takes from the manifest. */
export const CONSUMER_KEYS = [
  'maxBatchSize',
  'maxBatchTimeoutS',
  'maxRetries',
  'retryDelayS',
  'maxConcurrency',
  'deadLetterQueue',
] as const satisfies (keyof QueueSettings)[];

/** Batches in flight at once. Never more than the function's instances can take. */
export function batchLimit(
  settings: QueueSettings,
  limits: Pick<ModuleLimits, 'concurrency' | 'maxInstances'>,
): number {
  return Math.min(settings.maxConcurrency ?? DEFAULT_CONCURRENCY, limits.concurrency * limits.maxInstances);
}

/** When a claimed message was due, as far as its claim tells: a retried one has just become so. */
export function dueAtOf(message: ClaimedMessage, claimedAtMs: number): number {
  return message.attempts === 1 ? Math.min(message.timestamp + message.delayS * 1000, claimedAtMs) : claimedAtMs;
}

/**
 * Full jitter: anything up to 200 ms before the first retry, doubled with each, 30 s at most. Workers would deliver
 * again at once, which only hammers what has just failed.
 */
export function backoffMs(failures: number, random: () => number): number {
  return Math.floor(random() * Math.min(MOST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(failures - 1, 20)));
}

/**
 * How long a consumer rests when there was no room for its batch. Half fixed, half jitter, doubled with each in a row:
 * 100–200 ms first, 30 s at most; or what the error says.
 */
export function restMs(error: HearthError, refusals: number, random: () => number): number {
  if (error.retryAfterS !== undefined) return Math.min(error.retryAfterS * 1000, MOST_BACKOFF_MS);
  const most = Math.min(MOST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(refusals - 1, 20));
  return Math.floor(most / 2 + (random() * most) / 2);
}

/** True when the batch never reached the function for want of room: no attempt was used. */
export function foundNoRoom(error: HearthError): boolean {
  return error.code === 'OVERLOADED' || error.code === 'NO_CAPACITY';
}

/** What becomes of each message once the handler has decided. A message without a verdict is retried. */
export function settleByVerdicts(
  batch: ClaimedMessage[],
  result: QueueResultHead,
  settings: QueueSettings,
  nowMs: number,
  random: () => number,
): Settlement[] {
  const verdicts = new Map(result.verdicts.map((verdict) => [verdict.id, verdict]));
  const reason =
    result.error === null ? 'the handler asked for a retry' : `${result.error.name}: ${result.error.message}`;
  return batch.map((message) => {
    const verdict = verdicts.get(message.id);
    if (verdict?.verdict === 'ack') return { id: message.id, fence: message.fence, verdict: 'ack' };
    // The handler has come to its end: whatever it was suspected of, it did not do.
    return retryOrDie({ ...message, kills: null }, verdict?.delayS ?? null, reason, settings, nowMs, random);
  });
}

/**
 * The whole batch failed. Where one message of it may have done so to the others, each is delivered apart from now on and
 * has its attempt back; otherwise each uses up an attempt.
 *
 *   its base died ──► suspect of a kill: delivered when nothing else of its queue is in flight, so that what dies then
 *                     has died of it. MOST_KILLS of these, and it goes to the dead letters
 *   timed out     ──► delivered by itself, beside others
 *
 * `alone`: a batch of one, and no other of this queue was in flight beside it.
 */
export function settleByError(
  batch: ClaimedMessage[],
  error: HearthError,
  alone: boolean,
  settings: QueueSettings,
  nowMs: number,
  random: () => number,
): Settlement[] {
  const reason = shortened(`${error.code}: ${error.message}`);
  return batch.map((message) => {
    const { id, fence, kills } = message;
    switch (error.code) {
      case 'FUNCTION_CRASHED': {
        if (!alone) return { ...again(message, nowMs, reason), kills: Math.max(kills ?? 0, 1) };
        const counted = (kills ?? 0) + 1;
        if (counted < MOST_KILLS) {
          return retryOrDie({ ...message, kills: counted }, null, reason, settings, nowMs, random);
        }
        const verdict = `it took down its base ${counted} times; ${reason}`;
        return { id, fence, verdict: 'dead', reason: shortened(verdict) };
      }
      case 'FUNCTION_TIMEOUT':
        if (batch.length > 1) return { ...again(message, nowMs, reason), kills: kills ?? 0 };
        return retryOrDie({ ...message, kills: kills ?? 0 }, null, reason, settings, nowMs, random);
      default:
        return retryOrDie({ ...message, kills: null }, null, reason, settings, nowMs, random);
    }
  });
}

/** Back as they were: no attempt used, nothing has failed. */
export function giveBack(batch: ClaimedMessage[], dueAt: number): Settlement[] {
  return batch.map((message) => again(message, dueAt, null));
}

function again(
  { id, fence, kills }: ClaimedMessage,
  dueAt: number,
  reason: string | null,
): Extract<Settlement, { verdict: 'retry' }> {
  return { id, fence, verdict: 'retry', dueAt, countAttempt: false, reason, kills };
}

/** What is kept of why a delivery failed. */
function shortened(reason: string): string {
  return reason.slice(0, 500);
}

function retryOrDie(
  message: ClaimedMessage,
  namedDelayS: number | null,
  reason: string,
  settings: QueueSettings,
  nowMs: number,
  random: () => number,
): Settlement {
  const { id, fence, attempts, kills } = message;
  if (attempts > settings.maxRetries) return { id, fence, verdict: 'dead', reason: shortened(reason) };
  return {
    id,
    fence,
    verdict: 'retry',
    dueAt: nowMs + delayMs(namedDelayS, settings.retryDelayS, attempts, random),
    countAttempt: true,
    reason: shortened(reason),
    kills,
  };
}

/** A delay the handler names, else the consumer's, else backoff. A base may name anything: it is held to the range. */
function delayMs(namedS: number | null, settingS: number, attempts: number, random: () => number): number {
  if (namedS !== null && namedS >= 0) return Math.min(namedS, MAX_DELAY_S) * 1000;
  return settingS > 0 ? settingS * 1000 : backoffMs(attempts, random);
}
