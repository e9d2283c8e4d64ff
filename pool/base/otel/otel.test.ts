import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { build } from 'esbuild';
import { MAX_SPANS, type SpanReport, spanIdOf } from '../../../functions/contract/span.ts';
import { isSpansEvent } from '../../keeper/span-event.ts';
import { TestBase } from '../testing/harness.ts';

const INVOKE_SPAN = '2222222222222222';

let base: TestBase;
/** Answers with the traceparent it was asked with; /missing with a 404. */
const server = createServer((request, response) => {
  response.statusCode = request.url === '/missing' ? 404 : 200;
  response.end(String(request.headers.traceparent));
});
let url: string;

before(async () => {
  base = await TestBase.start();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(async () => {
  await base?.[Symbol.asyncDispose]();
  server.closeAllConnections();
  server.close();
});

/** Runs this as the body of a fetch handler that has its own copy of the API bundled; its answer, and the spans it made. */
async function run(body: string, outside = ''): Promise<{ text: string; spans: SpanReport[] }> {
  const contents = `
    import { trace, context, propagation, SpanStatusCode, SpanKind, ROOT_CONTEXT } from '@opentelemetry/api';
    const tracer = trace.getTracer('shop-lib');
    ${outside}
    export default { async fetch(request, env, ctx) { ${body.replaceAll('URL_OF_SERVER', url)} } };`;
  const bundle = await build({
    stdin: { contents, resolveDir: import.meta.dirname, loader: 'js' },
    bundle: true,
    write: false,
    format: 'cjs',
    platform: 'node',
    logLevel: 'silent',
  });
  const common = base.common();
  await base.load(bundle.outputFiles[0]!.text, { module: common.invocationId });
  const call = base.http('/', { ...common, module: common.invocationId });
  const { text } = await call.whole();
  const events = base.events.filter((event) => event.event === 'spans' && event.invocationId === common.invocationId);
  for (const event of events) assert.ok(isSpansEvent({ ...event }), JSON.stringify(event));
  return { text, spans: events.flatMap((event) => (event.event === 'spans' ? event.spans : [])) };
}

function named(spans: SpanReport[], name: string): SpanReport {
  return spans.find((span) => span.name === name) ?? assert.fail(`no span ${name} in ${JSON.stringify(spans)}`);
}

test('spans of the API stand under one another over awaits, with attributes, status, kind, exceptions and their library', async () => {
  const { text, spans } = await run(`
    return tracer.startActiveSpan('order', { attributes: { items: 3 }, kind: SpanKind.PRODUCER }, async (order) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      const pay = tracer.startSpan('pay');
      pay.recordException(new RangeError('no money'));
      pay.setStatus({ code: SpanStatusCode.ERROR, message: 'declined' });
      pay.setAttributes({ tries: [1, 2], ok: false }).updateName('pay now');
      pay.end();
      pay.setAttribute('late', true);
      order.end();
      return new Response(JSON.stringify([order.spanContext(), order.isRecording(), trace.getActiveSpan() === order]));
    });`);
  const order = named(spans, 'order');
  const pay = named(spans, 'pay now');
  assert.deepEqual([order.parent, pay.parent], [null, order.id]);
  assert.deepEqual(
    [order.attributes, order.kind, order.scope, order.error],
    [{ items: 3 }, 'producer', 'shop-lib', null],
  );
  assert.deepEqual([pay.attributes, pay.kind, pay.error], [{ tries: '1,2', ok: false }, undefined, 'declined']);
  assert.deepEqual(
    pay.events?.map(({ name, attributes }) => [name, attributes]),
    [['exception', { 'exception.type': 'RangeError', 'exception.message': 'no money' }]],
  );
  const spanId = spanIdOf(INVOKE_SPAN, order.id);
  assert.deepEqual(JSON.parse(text), [{ traceId: '1'.repeat(32), spanId, traceFlags: 1 }, false, true]);
});

test('an outgoing fetch is a span under the one it is made in, and the parent of what it calls', async () => {
  const { text, spans } = await run(`
    return tracer.startActiveSpan('outer', async (outer) => {
      const heard = await (await fetch('URL_OF_SERVER/a?key=secret')).text();
      await fetch('URL_OF_SERVER/missing', { method: 'post' });
      await fetch('http://127.0.0.1:1/').catch(() => undefined);
      await fetch('data:text/plain,x');
      outer.end();
      return new Response(heard);
    });`);
  const outer = named(spans, 'outer');
  const [get, refused] = spans.filter(({ name }) => name === 'GET');
  const post = named(spans, 'POST');
  assert.equal(spans.length, 4);
  assert.deepEqual([get?.parent, post.parent, refused?.parent], [outer.id, outer.id, outer.id]);
  assert.equal(text, `00-${'1'.repeat(32)}-${spanIdOf(INVOKE_SPAN, get!.id)}-01`);
  const { hostname, port } = new URL(url);
  assert.deepEqual(get?.attributes, {
    'http.request.method': 'GET',
    'url.full': `${url}/a`,
    'server.address': hostname,
    'server.port': Number(port),
    'http.response.status_code': 200,
  });
  assert.deepEqual([get?.kind, get?.error, post.error, post.attributes['error.type']], ['client', null, '', '404']);
  assert.deepEqual([refused?.error, refused?.attributes['error.type']], ['fetch failed', 'TypeError']);
});

test('spans of ctx.startSpan and of the API are of one tree', async () => {
  const { text, spans } = await run(`
    await ctx.startSpan('first').run(async () => {
      await tracer.startActiveSpan('second', async (second) => {
        ctx.startSpan('third').end();
        second.end();
      });
    });
    return new Response(trace.getActiveSpan().spanContext().spanId);`);
  assert.deepEqual([named(spans, 'second').parent, named(spans, 'third').parent], [1, 2]);
  assert.equal(text, INVOKE_SPAN, 'outside of all of them code stands in the invoke span');
});

test('contexts carry values, are entered and left, bound, injected and extracted', async () => {
  const { text, spans } = await run(`
    const KEY = Symbol.for('tenant');
    const heard = [];
    const within = context.active().setValue(KEY, 'acme');
    const tell = () => heard.push(context.active().getValue(KEY) ?? null);
    await context.with(within, async () => { await 0; tell(); });
    tell();
    context.bind(within, tell)();
    context.with(within.deleteValue(KEY), tell);
    const headers = {};
    const span = tracer.startSpan('sent');
    propagation.inject(trace.setSpan(context.active(), span), headers);
    heard.push(headers.traceparent.includes(span.spanContext().spanId), propagation.fields());
    const remote = propagation.extract(ROOT_CONTEXT, { traceparent: '00-' + 'a'.repeat(32) + '-' + 'b'.repeat(16) + '-01' });
    heard.push(trace.getSpanContext(remote).traceId, trace.getSpan(propagation.extract(ROOT_CONTEXT, { traceparent: 'odd' })) ?? null);
    context.with(remote, () => tracer.startSpan('of this invocation all the same').end());
    span.end();
    return new Response(JSON.stringify(heard));`);
  assert.deepEqual(JSON.parse(text), ['acme', null, 'acme', null, true, ['traceparent'], 'a'.repeat(32), null]);
  assert.equal(named(spans, 'of this invocation all the same').parent, null);
});

test('times may be given as epoch, as performance.now() and as pairs', async () => {
  const { spans } = await run(`
    const now = Date.now();
    tracer.startSpan('epoch', { startTime: now - 5000 }).end(now - 4000);
    tracer.startSpan('own', { startTime: performance.now() - 1 }).end(performance.now());
    tracer.startSpan('pair', { startTime: [Math.floor(now / 1000) - 10, 0] }).end(new Date(now - 8000));
    tracer.startSpan('backwards', { startTime: now }).end(now - 100);
    tracer.startSpan('odd', { startTime: NaN }).end('later');
    return new Response();`);
  const length = (name: string) => named(spans, name).endedAt - named(spans, name).startedAt;
  assert.ok(Math.abs(length('epoch') - 1000) < 50, String(length('epoch')));
  assert.ok(length('own') > 0.99, String(length('own')));
  assert.ok(length('pair') > 900, String(length('pair')));
  assert.equal(length('backwards'), 0);
});

test('whatever is given stays within what the gateway takes', async () => {
  const { text, spans } = await run(`
    const odd = tracer.startSpan('n'.repeat(9999), { attributes: { big: 'x'.repeat(99999), self: globalThis, none: null } });
    for (let n = 0; n < 100; n++) odd.setAttribute('k' + n, n).addEvent('e' + n, { n }).addEvent('timed', Date.now());
    odd.setStatus({ code: 2, message: {} }).addLink({ context: odd.spanContext() });
    odd.recordException('only text');
    odd.end();
    for (let n = 0; n < ${MAX_SPANS * 2}; n++) tracer.startSpan('flood').end();
    return new Response(String(tracer.startSpan('beyond').isRecording()));`);
  assert.equal(spans.length, MAX_SPANS);
  assert.equal(text, 'false');
  assert.equal(Object.keys(spans[0]!.attributes).length, 16);
  assert.equal(spans[0]!.events?.length, 8);
});

test('outside of any invocation nothing is told, and a span says that it is not recorded', async () => {
  const { text, spans } = await run(
    `return new Response(JSON.stringify(loaded));`,
    `const atLoad = tracer.startSpan('at load');
     atLoad.end();
     const loaded = [atLoad.isRecording(), atLoad.spanContext().traceId, trace.getActiveSpan() ?? null];`,
  );
  assert.deepEqual(JSON.parse(text), [false, '0'.repeat(32), null]);
  assert.deepEqual(spans, []);
});
