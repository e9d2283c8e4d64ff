import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HearthError } from '../../../functions/contract/errors.ts';
import type { QueueResultHead } from '../../../functions/contract/invocation.ts';
import { parseManifestValue } from '../../../functions/contract/manifest-file.ts';
import { type ClaimedMessage, defaultQueueSettings } from '../../store/api/queues.ts';
import {
  backoffMs,
  batchLimit,
  consumerSettings,
  dueAtOf,
  foundNoRoom,
  giveBack,
  restMs,
  settleByError,
  settleByVerdicts,
} from './plan.ts';

const NOW = 1_000_000;
const SETTINGS = defaultQueueSettings('orders');
const half = () => 0.5;

function message(id: string, attempts = 1, kills: number | null = null): ClaimedMessage {
  return {
    queue: 'orders',
    id,
    body: Buffer.from('{}'),
    contentType: 'json',
    delayS: 0,
    traceparent: null,
    hops: 0,
    timestamp: NOW - 500,
    attempts,
    kills,
    fence: 7,
  };
}

function result(verdicts: QueueResultHead['verdicts'], error: QueueResultHead['error'] = null): QueueResultHead {
  return { kind: 'queue-result', verdicts, error, waiting: false, calledAt: 0 };
}

test('acked messages go, others are retried after the delay they name, the setting, or a backoff', () => {
  const batch = ['a', 'b', 'c'].map((id) => message(id));
  const verdicts = [
    { id: 'a', verdict: 'ack' as const },
    { id: 'b', verdict: 'retry' as const, delayS: 30 },
    { id: 'c', verdict: 'retry' as const, delayS: null },
  ];
  assert.deepEqual(settleByVerdicts(batch, result(verdicts), SETTINGS, NOW, half), [
    { id: 'a', fence: 7, verdict: 'ack' },
    {
      id: 'b',
      fence: 7,
      verdict: 'retry',
      dueAt: NOW + 30_000,
      countAttempt: true,
      reason: 'the handler asked for a retry',
      kills: null,
    },
    {
      id: 'c',
      fence: 7,
      verdict: 'retry',
      dueAt: NOW + 100,
      countAttempt: true,
      reason: 'the handler asked for a retry',
      kills: null,
    },
  ]);
  const [, , c] = settleByVerdicts(batch, result(verdicts), { ...SETTINGS, retryDelayS: 60 }, NOW, half);
  assert.equal(c?.verdict === 'retry' && c.dueAt, NOW + 60_000);
});

test('a message without a verdict is retried, and verdicts for others are ignored', () => {
  const settled = settleByVerdicts([message('a')], result([{ id: 'x', verdict: 'ack' }]), SETTINGS, NOW, half);
  assert.deepEqual(
    settled.map(({ id, verdict }) => [id, verdict]),
    [['a', 'retry']],
  );
});

test('a retry delay from a base is held to a day', () => {
  const settled = settleByVerdicts(
    [message('a'), message('b')],
    result([
      { id: 'a', verdict: 'retry', delayS: 1e12 },
      { id: 'b', verdict: 'retry', delayS: -5 },
    ]),
    SETTINGS,
    NOW,
    half,
  );
  assert.deepEqual(
    settled.map((one) => one.verdict === 'retry' && one.dueAt - NOW),
    [86_400_000, 100],
  );
});

test('a message dies when its retries are used up, with what the handler threw as the reason', () => {
  const error = { name: 'TypeError', message: 'no order' };
  const verdicts = ['a', 'b'].map((id) => ({ id, verdict: 'retry' as const, delayS: null }));
  const batch = [message('a', 3), message('b', 4)];
  const settled = settleByVerdicts(batch, result(verdicts, error), SETTINGS, NOW, half);
  assert.deepEqual(
    settled.map(({ id, verdict }) => [id, verdict]),
    [
      ['a', 'retry'],
      ['b', 'dead'],
    ],
  );
  assert.equal(settled[1]?.verdict === 'dead' && settled[1].reason, 'TypeError: no order');
  const [only] = settleByError([message('a')], crashed(), true, { ...SETTINGS, maxRetries: 0 }, NOW, half);
  assert.deepEqual(only, { id: 'a', fence: 7, verdict: 'dead', reason: 'FUNCTION_CRASHED: the base died' });
});

function crashed(): HearthError {
  return new HearthError('FUNCTION_CRASHED', 'the base died');
}

test('a batch that failed as a whole uses an attempt of each message', () => {
  const thrown = new HearthError('FUNCTION_EXCEPTION', 'not loaded');
  const settled = settleByError([message('a', 1), message('b', 2)], thrown, true, SETTINGS, NOW, half);
  assert.deepEqual(
    settled.map((one) => one.verdict === 'retry' && [one.countAttempt, one.dueAt - NOW]),
    [
      [true, 100],
      [true, 200],
    ],
  );
});

const died = 'FUNCTION_CRASHED: the base died';

test('when a base dies of several messages, or beside others, each is suspected and has its attempt back', () => {
  const back = { fence: 7, verdict: 'retry', dueAt: NOW, countAttempt: false, reason: died };
  const batch = [message('a', 4), message('b', 9, 2)];
  assert.deepEqual(settleByError(batch, crashed(), false, SETTINGS, NOW, half), [
    { ...back, id: 'a', kills: 1 },
    { ...back, id: 'b', kills: 2 },
  ]);
  assert.deepEqual(settleByError([message('c')], crashed(), false, SETTINGS, NOW, half), [
    { ...back, id: 'c', kills: 1 },
  ]);
});

test('what a base dies of three times is dead, whatever retries it has; once and twice it uses attempts', () => {
  const settings = { ...SETTINGS, maxRetries: 100 };
  const alone = (kills: number | null) => {
    const [settled] = settleByError([message('a', 2, kills)], crashed(), true, settings, NOW, half);
    return settled?.verdict === 'retry' ? [settled.countAttempt, settled.kills] : settled;
  };
  assert.deepEqual(alone(null), [true, 1]);
  assert.deepEqual(alone(1), [true, 2]);
  const reason = `it took down its base 3 times; ${died}`;
  assert.deepEqual(alone(2), { id: 'a', fence: 7, verdict: 'dead', reason });
});

test('of a batch that timed out each is delivered by itself, and only there uses an attempt', () => {
  const slow = new HearthError('FUNCTION_TIMEOUT', '30 s');
  const settled = (batch: ClaimedMessage[]) =>
    settleByError(batch, slow, true, SETTINGS, NOW, half).map((one) =>
      one.verdict === 'retry' ? [one.countAttempt, one.kills, one.dueAt - NOW] : one.verdict,
    );
  assert.deepEqual(settled([message('a', 4), message('b', 4, 2)]), [
    [false, 0, 0],
    [false, 2, 0],
  ]);
  assert.deepEqual(settled([message('a', 1, 0)]), [[true, 0, 100]]);
  assert.deepEqual(settled([message('a', 4, 0)]), ['dead']);
});

test('a handler that comes to its end clears its messages of suspicion', () => {
  const verdicts = [{ id: 'a', verdict: 'retry' as const, delayS: null }];
  const [settled] = settleByVerdicts([message('a', 1, 2)], result(verdicts), SETTINGS, NOW, half);
  assert.equal(settled?.verdict === 'retry' && settled.kills, null);
});

test('want of room uses no attempt', () => {
  assert.deepEqual(
    (['OVERLOADED', 'NO_CAPACITY', 'FUNCTION_CRASHED', 'FUNCTION_TIMEOUT'] as const).map((code) =>
      foundNoRoom(new HearthError(code, '')),
    ),
    [true, true, false, false],
  );
  const [back] = giveBack([message('a', 9, 2)], NOW + 5);
  assert.deepEqual(back, {
    id: 'a',
    fence: 7,
    verdict: 'retry',
    dueAt: NOW + 5,
    countAttempt: false,
    reason: null,
    kills: 2,
  });
});

test('backoff grows with each failure, has full jitter, and ends at half a minute', () => {
  const most = (failures: number) => backoffMs(failures, () => 0.999_999_999);
  assert.deepEqual([1, 2, 3, 4].map(most), [199, 399, 799, 1599]);
  assert.equal(most(100), 29_999);
  assert.equal(
    backoffMs(5, () => 0),
    0,
  );
});

test('a consumer without room rests longer each time, or as long as it is told', () => {
  const overloaded = new HearthError('OVERLOADED', 'busy');
  assert.deepEqual(
    [1, 2, 3].map((refusals) => restMs(overloaded, refusals, () => 0)),
    [100, 200, 400],
  );
  assert.equal(
    restMs(overloaded, 100, () => 1),
    30_000,
  );
  assert.equal(restMs(new HearthError('NO_CAPACITY', 'full', { retryAfterS: 2 }), 1, half), 2_000);
});

test('batches in flight never exceed what the instances can take', () => {
  const limits = { concurrency: 1, maxInstances: 4 };
  assert.equal(batchLimit(SETTINGS, limits), 4);
  assert.equal(batchLimit({ ...SETTINGS, maxConcurrency: 2 }, limits), 2);
  assert.equal(batchLimit(SETTINGS, { concurrency: 64, maxInstances: 16 }), 64);
  assert.equal(batchLimit({ ...SETTINGS, maxConcurrency: 250 }, { concurrency: 64, maxInstances: 16 }), 250);
});

test('a message was due after its delay, and a retried one when it was claimed', () => {
  assert.equal(dueAtOf(message('a'), NOW), NOW - 500);
  assert.equal(dueAtOf({ ...message('a'), delayS: 0.2 }, NOW), NOW - 300);
  assert.equal(dueAtOf(message('a', 2), NOW), NOW);
});

test("a consumer's manifest decides the settings but for pause and delivery delay", () => {
  const manifest = parseManifestValue({
    queues: { consumers: [{ queue: 'orders', max_batch_size: 2, max_retries: 0, dead_letter_queue: 'lost' }] },
  });
  const [consumer] = manifest.queues.consumers;
  assert.ok(consumer);
  const current = { ...SETTINGS, paused: true, deliveryDelayS: 9, maxRetries: 50 };
  assert.deepEqual(consumerSettings(consumer, current), {
    maxBatchSize: 2,
    maxBatchTimeoutS: 5,
    maxRetries: 0,
    retryDelayS: 0,
    deliveryDelayS: 9,
    maxConcurrency: null,
    deadLetterQueue: 'lost',
    paused: true,
  });
});
