import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BindingCallHead } from '../../functions/contract/invocation.ts';
import { MAX_SPANS, MAX_SPANS_CHARS, type SpansEvent, spanChars } from '../../functions/contract/span.ts';
import { isSpansEvent } from '../keeper/span-event.ts';
import { InvocationSpans } from './spans.ts';
import { TestBase } from './testing/harness.ts';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

/** Spans with a clock that goes on by one with each look. */
function setUp() {
  const sent: SpansEvent[] = [];
  let nowMs = 0;
  const invocation = { module: 'main', invocationId: 'inv-1', traceparent: TRACEPARENT };
  const spans = new InvocationSpans(invocation, { send: (event) => sent.push(event), now: () => ++nowMs });
  return { spans, sent };
}

describe('spans of an invocation', () => {
  test('are told when they end, with their parent and what was added at the end', () => {
    const { spans, sent } = setUp();
    const outer = spans.start('outer', { a: 1 });
    const inner = spans.start('inner', {}, outer.id);
    inner.end('it failed', { b: true });
    inner.end();
    outer.end();
    assert.deepEqual(
      sent.flatMap((event) => event.spans),
      [
        { id: 2, parent: 1, name: 'inner', startedAt: 2, endedAt: 3, error: 'it failed', attributes: { b: true } },
        { id: 1, parent: null, name: 'outer', startedAt: 1, endedAt: 4, error: null, attributes: { a: 1 } },
      ],
    );
    assert.deepEqual([sent[0]?.module, sent[0]?.invocationId], ['main', 'inv-1']);
  });

  test('stay within what the gateway takes, whatever an author gives', () => {
    const { spans, sent } = setUp();
    const odd = { long: 'x'.repeat(10_000), object: {} as string, none: Number.NaN, ['k'.repeat(500)]: 1 };
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`n${n}`, n]));
    for (const attributes of [odd, many]) spans.start('n'.repeat(1000), attributes, 77).end('e'.repeat(10_000));
    spans.start(Symbol('name') as unknown as string, undefined, 'x' as unknown as number).end();
    for (let n = 0; n < MAX_SPANS * 2; n++) spans.start('flood').end();
    assert.equal(sent.length, MAX_SPANS);
    for (const event of sent) assert.ok(isSpansEvent({ ...event }), JSON.stringify(event));
  });
});

test('large spans are told as far as all of one invocation come to what the gateway keeps', () => {
  const { spans, sent } = setUp();
  const large = Object.fromEntries(Array.from({ length: 16 }, (_, n) => [`n${n}`, 'x'.repeat(256)]));
  for (let n = 0; n < MAX_SPANS; n++) spans.start('large', large).end();
  const chars = sent.flatMap((event) => event.spans).reduce((sum, span) => sum + spanChars(span), 0);
  assert.ok(sent.length > 10 && chars <= MAX_SPANS_CHARS, `${sent.length} spans of ${chars}`);
});

describe('what runs within a span', () => {
  test('has it as parent, over its awaits, and calls out under it', async () => {
    const { spans, sent } = setUp();
    const outer = spans.start('outer');
    assert.deepEqual([InvocationSpans.any, spans.current, spans.traceparent], [false, null, TRACEPARENT]);
    await outer.run(async () => {
      await Promise.resolve();
      assert.deepEqual([InvocationSpans.any, spans.current], [true, outer.id]);
      assert.match(spans.traceparent, /^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[0-9a-f]{16}-01$/);
      spans.start('inner').end();
      spans.start('apart', {}, null).end();
    });
    assert.deepEqual(
      sent.flatMap((event) => event.spans).map(({ name, parent }) => [name, parent]),
      [
        ['inner', outer.id],
        ['apart', null],
      ],
    );
  });

  test('says nothing to another invocation that is begun there', () => {
    const { spans } = setUp();
    const { spans: other } = setUp();
    spans.start('outer').run(() => {
      assert.deepEqual([other.current, other.traceparent], [null, TRACEPARENT]);
    });
  });
});

test('a binding is called within its span, and only there', async () => {
  const heads: BindingCallHead[] = [];
  await using base = await TestBase.start({
    binding: (head, exchange) => {
      heads.push(head);
      exchange.cancel({ code: 'NOT_FOUND', message: 'nobody' });
    },
  });
  await base.load(
    `module.exports = { async fetch(request, env, ctx) {
      const ask = () => env.OTHER.fetch('http://other/').catch(() => undefined);
      await ask();
      await ctx.startSpan('outer').run(ask);
      return new Response('done');
    } }`,
    { bindings: [{ kind: 'service', name: 'OTHER', service: 'other' }] },
  );
  await base.http('/').whole();
  assert.deepEqual(
    heads.map(({ span }) => span),
    [undefined, 1],
  );
});

test('the gateway hears of a span before it hears the answer', async () => {
  await using base = await TestBase.start();
  await base.load(
    `module.exports = { async fetch(request, env, ctx) {
      const outer = ctx.startSpan('outer', { size: 2 });
      await Promise.resolve();
      ctx.startSpan('inner', {}, outer.id).end(new Error('broken').message);
      outer.end();
      return new Response('done');
    } }`,
  );
  const call = base.http('/');
  await call.answered.promise;
  const told = base.events.filter((event) => event.event === 'spans').flatMap((event) => event.spans);
  assert.deepEqual(
    told.map(({ name, parent, error, attributes }) => ({ name, parent, error, attributes })),
    [
      { name: 'inner', parent: 1, error: 'broken', attributes: {} },
      { name: 'outer', parent: null, error: null, attributes: { size: 2 } },
    ],
  );
  assert.ok(told.every(({ startedAt, endedAt }) => startedAt > 0 && endedAt >= startedAt));
  assert.equal((await call.whole()).text, 'done');
});
