import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serialize } from 'node:v8';
import type {
  CronInvokeHead,
  CronResultHead,
  QueueInvokeHead,
  QueueMessageHead,
  QueueResultHead,
} from '../../../functions/contract/invocation.ts';
import { concat } from '../body.ts';
import { TestBase } from '../testing/harness.ts';

type Sent = [contentType: QueueMessageHead['contentType'], body: Uint8Array | string];

function sendBatch(base: TestBase, messages: Sent[]) {
  const bodies = messages.map(([, body]) => (typeof body === 'string' ? Buffer.from(body) : body));
  const head: Partial<QueueInvokeHead> & { trigger: 'queue' } = {
    trigger: 'queue',
    queue: 'orders',
    messages: messages.map(([contentType], at) => ({
      id: `m${at}`,
      timestamp: 1_700_000_000_000 + at,
      attempts: at + 1,
      contentType,
      bytes: bodies[at]!.length,
    })),
  };
  return base.invoke<QueueResultHead>(head, concat(bodies));
}

test('a cron tick reaches scheduled with its expression and due time', async () => {
  await using base = await TestBase.start();
  const { head: loaded } = await base.load(`module.exports = { async scheduled(controller, env, ctx) {
    console.log(controller.cron, controller.scheduledTime, ctx.invocationId);
    if (controller.cron === '1 * * * *') controller.noRetry(); } }`);
  assert.deepEqual(loaded.handlers, ['scheduled']);
  const tick = (cron: string) => {
    const head: Partial<CronInvokeHead> & { trigger: 'cron' } = {
      trigger: 'cron',
      cron,
      scheduledTime: 1_700_000_000_000,
    };
    return base.invoke<CronResultHead>(head).whole();
  };
  assert.equal((await tick('0 * * * *')).head.noRetry, false);
  const { head } = await tick('1 * * * *');
  assert.deepEqual([head.kind, head.noRetry, head.waiting], ['cron-result', true, false]);
  await base.event(
    (event) =>
      event.event === 'log' && event.lines.some((line) => line.message.startsWith('0 * * * * 1700000000000 i-')),
  );
});

test('a scheduled handler that throws is a FUNCTION_EXCEPTION, as is a module without one', async () => {
  await using base = await TestBase.start();
  await base.load('module.exports = { async scheduled() { throw new Error("no report") } }');
  const tick = () =>
    base
      .invoke({ trigger: 'cron', cron: '* * * * *', scheduledTime: 0 } as Partial<CronInvokeHead> & { trigger: 'cron' })
      .whole();
  await assert.rejects(tick(), { code: 'FUNCTION_EXCEPTION', message: 'Error: no report' });
  await base.load('module.exports = { fetch() {} }');
  await assert.rejects(tick(), { code: 'FUNCTION_EXCEPTION', message: /no scheduled handler/ });
});

test('a batch is handed over decoded by content type; without a call all of it is acknowledged', async () => {
  await using base = await TestBase.start();
  await base.load(`module.exports = { queue(batch, env, ctx) {
    console.log(JSON.stringify([batch.queue, batch.messages.map((m) => [m.id, m.timestamp.getTime(), m.attempts,
      m.body instanceof ArrayBuffer ? [...new Uint8Array(m.body)] : m.body instanceof Map ? [...m.body] : m.body])])) } }`);
  const { head } = await sendBatch(base, [
    ['json', '{"a":[1]}'],
    ['text', 'plain ä'],
    ['bytes', new Uint8Array([1, 2, 255])],
    ['v8', serialize(new Map([['k', true]]))],
  ]).whole();
  assert.equal(head.kind, 'queue-result');
  assert.equal(head.error, null);
  assert.deepEqual(
    head.verdicts,
    ['m0', 'm1', 'm2', 'm3'].map((id) => ({ id, verdict: 'ack' })),
  );
  const event = await base.event((event) => event.event === 'log');
  assert.equal(event.event, 'log');
  assert.deepEqual(JSON.parse((event as { lines: { message: string }[] }).lines[0]!.message), [
    'orders',
    [
      ['m0', 1_700_000_000_000, 1, { a: [1] }],
      ['m1', 1_700_000_000_001, 2, 'plain ä'],
      ['m2', 1_700_000_000_002, 3, [1, 2, 255]],
      ['m3', 1_700_000_000_003, 4, [['k', true]]],
    ],
  ]);
});

const ACK = { verdict: 'ack' };
const RETRY = { verdict: 'retry', delayS: null };
const LATER = { verdict: 'retry', delayS: 60 };
for (const [what, code, expected] of [
  [
    'retryAll leaves out what was acknowledged before it',
    'a.ack(); batch.retryAll({ delaySeconds: 60 })',
    [ACK, LATER, LATER],
  ],
  ['ackAll leaves out what is to be retried', 'b.retry({ delaySeconds: 60 }); batch.ackAll()', [ACK, LATER, ACK]],
  ['the first call for a message wins', 'a.ack(); a.retry(); b.retry(); b.ack()', [ACK, RETRY, ACK]],
  ['the first call for the batch wins', 'batch.retryAll(); batch.ackAll()', [RETRY, RETRY, RETRY]],
  ['a call for one after a call for all changes nothing', 'batch.ackAll(); a.retry()', [ACK, ACK, ACK]],
  [
    'a throw retries what was not acknowledged',
    'a.ack(); b.retry({ delaySeconds: 60 }); throw new Error("half way")',
    [ACK, LATER, RETRY],
  ],
  ['ackAll holds when the handler throws after it', 'batch.ackAll(); throw new Error("half way")', [ACK, ACK, ACK]],
] as const) {
  test(`queue: ${what}`, async () => {
    await using base = await TestBase.start();
    await base.load(
      `module.exports = { async queue(batch) { const [a, b, c] = batch.messages; await null; ${code} } }`,
    );
    const { head } = await sendBatch(base, [
      ['text', 'a'],
      ['text', 'b'],
      ['text', 'c'],
    ]).whole();
    assert.deepEqual(
      head.verdicts,
      expected.map((decision, at) => ({ id: `m${at}`, ...decision })),
    );
    assert.deepEqual(head.error, code.includes('throw') ? { name: 'Error', message: 'half way' } : null);
  });
}

test('a message that cannot be decoded fails alone, where the handler can catch it', async () => {
  await using base = await TestBase.start();
  await base.load(`module.exports = { queue(batch) { for (const m of batch.messages) {
    try { m.body; m.ack() } catch (error) { console.log(error.message); m.retry() } } } }`);
  const { head } = await sendBatch(base, [
    ['json', '{'],
    ['json', '1'],
    ['v8', 'rubbish'],
  ]).whole();
  assert.deepEqual(
    head.verdicts.map((it) => it.verdict),
    ['retry', 'ack', 'retry'],
  );
  assert.equal(head.error, null);
});

test('a delay out of range is an error of the handler', async () => {
  await using base = await TestBase.start();
  await base.load('module.exports = { queue(batch) { batch.messages[0].retry({ delaySeconds: -1 }) } }');
  const { head } = await sendBatch(base, [['text', 'a']]).whole();
  assert.equal(head.error?.name, 'TypeError');
  assert.match(head.error!.message, /delaySeconds has to be a whole number/);
});

test('a batch whose bytes are fewer than its messages say is refused', async () => {
  await using base = await TestBase.start();
  await base.load('module.exports = { queue() {} }');
  const call = base.invoke<QueueResultHead>(
    {
      trigger: 'queue',
      queue: 'q',
      messages: [{ id: 'a', timestamp: 0, attempts: 1, contentType: 'text', bytes: 9 }],
    } as Partial<QueueInvokeHead> & { trigger: 'queue' },
    'short',
  );
  await assert.rejects(call.whole(), { code: 'FUNCTION_EXCEPTION', message: /shorter than its messages say/ });
});
