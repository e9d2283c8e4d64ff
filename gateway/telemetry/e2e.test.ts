/**
 * What a tracing backend knows of invocations that real triggers made in a real gateway process: asked by
 * `faas.invocation_id`, as an operator with a log line or a response header would.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { build } from 'esbuild';
import { until } from '../../functions/examples/testing/until.ts';
import { startGateway, type TestGateway } from '../testing/gateway.ts';
import { METRIC } from './names.ts';
import { backendName, startTraceBackend, type TraceBackend, type TraceSpan } from './testing/backend.ts';
import { type OtlpReceiver, startOtlpReceiver } from './testing/otlp-receiver.ts';

/** Notes the ids of the invocations that cron and queue made. */
const NOTES = `
export default {
  fetch: async (request, env) => Response.json(await env.IDS.get(new URL(request.url).pathname.slice(1), 'json')),
  scheduled: (controller, env, ctx) => env.IDS.put('cron', JSON.stringify({ id: ctx.invocationId })),
  queue: (batch, env, ctx) =>
    env.IDS.put('queue', JSON.stringify({ id: ctx.invocationId, messages: batch.messages.map(({ id }) => id) })),
};`;

/** Makes spans with a copy of the API of its own, whatever triggers it. */
const TRACED = `
import { trace, SpanStatusCode } from '@opentelemetry/api';
import { WorkerEntrypoint } from 'hearth';
const own = (name, call) => trace.getTracer('traced').startActiveSpan(name, async (span) => {
  try { return await call(span); } finally { span.end(); }
});
export default class extends WorkerEntrypoint {
  fetch(request) {
    return own('page', async (span) => {
      span.setAttribute('basket.items', 3);
      console.log('three in the basket');
      span.recordException(new Error('noted'));
      span.setStatus({ code: SpanStatusCode.ERROR, message: 'half of it' });
      return new Response(await (await fetch(new URL(request.url).searchParams.get('ask'))).text());
    });
  }
  note(name) {
    return own(name, () => this.env.IDS.put(name, JSON.stringify({ id: this.ctx.invocationId })));
  }
  scheduled() { return this.note('tick'); }
  queue() { return this.note('batch'); }
  price(cents) { return own('pricing', () => ({ cents, id: this.ctx.invocationId })); }
}`;

const GIVE_UP_MS = 20_000;

/** Quick to export, so that nothing waits for a batch to fill. */
const EXPORT_SOON = { OTEL_BSP_SCHEDULE_DELAY: '100', OTEL_METRIC_EXPORT_INTERVAL: '500' };

function childOf(spans: TraceSpan[], parent: TraceSpan, name: string): TraceSpan {
  const found = spans.find((span) => span.parentSpanId === parent.spanId && span.name === name);
  assert.ok(found, `${parent.name} has no child ${name}: ${JSON.stringify(spans, null, 1)}`);
  return found;
}

/** The span the trigger opened: of this invocation, and no other span of it is its parent. */
function rootOf(spans: TraceSpan[]): TraceSpan {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  const roots = spans.filter(({ parentSpanId }) => parentSpanId === null || !ids.has(parentSpanId));
  assert.equal(roots.length, 1, JSON.stringify(spans, null, 1));
  return roots[0]!;
}

describe(`traces in ${backendName}`, { timeout: 120_000 }, () => {
  let traces: TraceBackend;
  let metrics: OtlpReceiver;
  let gateway: TestGateway;

  before(async () => {
    traces = await startTraceBackend();
    metrics = await startOtlpReceiver();
    gateway = await startGateway({
      env: {
        ...EXPORT_SOON,
        OTEL_EXPORTER_OTLP_ENDPOINT: traces.otlpUrl,
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `${metrics.url}/v1/metrics`,
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: `${metrics.url}/v1/logs`,
      },
    });
    await gateway.deploy('hello', 'export default { fetch: () => new Response("hello") }');
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await metrics?.close();
    await traces?.[Symbol.asyncDispose]();
  });

  async function get(path: string, headers: Record<string, string> = {}): Promise<{ id: string; timing: string }> {
    const response = await fetch(`${gateway.url}${path}`, { headers });
    assert.equal(response.status, 200);
    await response.arrayBuffer();
    return {
      id: response.headers.get('hearth-invocation-id') ?? assert.fail('the answer names no invocation'),
      timing: response.headers.get('server-timing') ?? '',
    };
  }

  async function call(path: string, headers: Record<string, string> = {}): Promise<string> {
    return (await get(path, headers)).id;
  }

  /** All spans of the invocation's trace, once its `function.invoke` is among them. */
  function traceOf(invocationId: string): Promise<TraceSpan[]> {
    return traces.findByInvocationId(invocationId, (spans) => spans.some(({ name }) => name === 'function.invoke'));
  }

  test('a cold call is the chain server → pool.acquire → function.load → function.invoke, and says so', async () => {
    await gateway.api('POST', '/v1/functions/hello/evict');
    const spans = await traceOf(await call('/hello?x=1'));
    const server = rootOf(spans);
    assert.equal(server.kind, 'server');
    assert.equal(server.attributes['faas.trigger'], 'http');
    assert.equal(server.attributes['faas.name'], 'hello');
    assert.equal(server.attributes['faas.coldstart'], true);
    assert.equal(server.attributes['http.response.status_code'], 200);

    const chain = ['pool.acquire', 'function.load', 'function.invoke'].map((name) => childOf(spans, server, name));
    for (const [index, span] of chain.entries()) {
      assert.ok(
        index === 0 || span.startUs >= chain[index - 1]!.startUs,
        `${span.name} begins before the one before it`,
      );
      assert.ok(span.endUs <= server.endUs + 1, `${span.name} ends after the server span`);
    }
    const load = chain[1]!;
    for (const phase of ['transfer', 'compile', 'evaluate']) childOf(spans, load, `function.load.${phase}`);
  });

  test('the phases of a cold start last as long in its trace as its answer says', async () => {
    for (let n = 0; n < 5; n += 1) {
      await gateway.api('POST', '/v1/functions/hello/evict');
      const { id, timing } = await get('/hello');
      const spans = await traceOf(id);
      const said = (phase: string) => Number(new RegExp(`${phase};dur=([\\d.]+)`).exec(timing)?.[1]);
      const lasted = ({ startUs, endUs }: TraceSpan) => (endUs - startUs) / 1000;
      const named = (name: string) => spans.find((span) => span.name === name) ?? assert.fail(name);
      for (const [span, ms] of [
        [named('pool.acquire'), said('wait') + said('acquire')],
        [named('function.load.transfer'), said('transfer')],
        [named('function.load.compile'), said('compile')],
        [named('function.load.evaluate'), said('evaluate')],
      ] as const) {
        assert.ok(Math.abs(lasted(span) - ms) < 0.005, `${span.name}: ${lasted(span)} ms in the trace, ${timing}`);
      }
      const all = [...timing.matchAll(/dur=([\d.]+)/g)].reduce((sum, [, ms]) => sum + Number(ms), 0);
      assert.ok(lasted(rootOf(spans)) > all - 0.01, `${lasted(rootOf(spans))} ms in the trace, ${timing}`);
    }
  });

  test('the call after a cold one is warm and has no function.load', async () => {
    await gateway.api('POST', '/v1/functions/hello/evict');
    const first = rootOf(await traceOf(await call('/hello')));
    const spans = await traceOf(await call('/hello'));
    assert.equal(first.attributes['faas.coldstart'], true);
    assert.equal(rootOf(spans).attributes['faas.coldstart'], false);
    assert.deepEqual(
      spans.map(({ name }) => name).filter((name) => name.startsWith('function.load')),
      [],
    );
    assert.equal(rootOf(spans).attributes['faas.instance'], first.attributes['faas.instance']);
  });

  test("the caller's trace goes on in Hearth", async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const spans = await traceOf(await call('/hello', { traceparent }));
    assert.ok(spans.every(({ traceId }) => traceId === '0af7651916cd43dd8448eb211c80319c'));
    assert.equal(rootOf(spans).parentSpanId, 'b7ad6b7169203331');
  });

  describe('triggers other than HTTP', () => {
    before(async () => {
      await gateway.deploy('notes', NOTES, {
        manifest: {
          kv_namespaces: [{ binding: 'IDS', id: 'ids' }],
          triggers: { crons: ['* * * * * *'] },
          queues: { consumers: [{ queue: 'notes', max_batch_timeout: 0 }] },
        },
      });
    });

    const noted = (key: string) =>
      until(async () => {
        const note = (await (await fetch(`${gateway.url}/notes/${key}`)).json()) as {
          id: string;
          messages?: string[];
        } | null;
        return note ?? undefined;
      }, `a note of ${key}`);

    describe('of a function that traces itself', () => {
      before(async () => {
        const { outputFiles } = await build({
          stdin: { contents: TRACED, resolveDir: import.meta.dirname, loader: 'js' },
          bundle: true,
          external: ['hearth'],
          write: false,
          format: 'esm',
          logLevel: 'silent',
        });
        await gateway.deploy('traced', outputFiles[0]!.text, {
          manifest: {
            kv_namespaces: [{ binding: 'IDS', id: 'ids' }],
            triggers: { crons: ['* * * * * *'] },
            queues: { consumers: [{ queue: 'traced', max_batch_timeout: 0 }] },
          },
        });
      });

      /** The span of this name in the trace of the invocation, which stands under its function.invoke. */
      async function ownSpan(id: string, name: string, last = name): Promise<{ spans: TraceSpan[]; own: TraceSpan }> {
        const spans = await traces.findByInvocationId(id, (found) => found.some((one) => one.name === last));
        const invoke = spans.find((one) => one.name === 'function.invoke' && one.attributes['faas.name'] === 'traced');
        return { spans, own: childOf(spans, invoke ?? assert.fail('no function.invoke'), name) };
      }

      test('its spans, its fetch and what that calls stand in one trace', async () => {
        const id = await call(`/traced/?ask=${encodeURIComponent(`${gateway.url}/hello`)}`);
        const { spans, own } = await ownSpan(id, 'page', 'GET /hello');
        assert.equal(own.attributes['basket.items'], 3);
        assert.equal(own.attributes['faas.invocation_id'], id);
        const asked = childOf(spans, own, 'GET');
        const [line] = await metrics.waitForLogs((logs) => logs.length > 0, AbortSignal.timeout(GIVE_UP_MS));
        assert.deepEqual(
          [line?.body, line?.traceId, line?.spanId, line?.attributes['faas.invocation_id']],
          ['three in the basket', own.traceId, own.spanId, id],
        );
        assert.equal(asked.kind, 'client');
        assert.equal(asked.attributes['http.response.status_code'], 200);
        assert.equal(childOf(spans, asked, 'GET /hello').attributes['faas.name'], 'hello');
      });

      test('also by cron, by queue and by RPC', async () => {
        await gateway.api('POST', '/v1/queues/traced/messages', { messages: [{ body: 1 }] });
        for (const name of ['tick', 'batch']) await ownSpan((await noted(name)).id, name);
        const call = { jsonrpc: '2.0', id: 1, method: 'price', params: [5] };
        const { body } = await gateway.api<{ result: { id: string } }>('POST', '/v1/rpc/traced', call);
        await ownSpan(body.result.id, 'pricing');
      });
    });

    test('a cron tick has a trace of its own, with the timer as trigger', async () => {
      const { id } = await noted('cron');
      const spans = await traceOf(id);
      const root = rootOf(spans);
      assert.equal(root.attributes['faas.trigger'], 'timer');
      assert.equal(root.attributes['faas.cron'], '* * * * * *');
      assert.equal(root.attributes['faas.invocation_id'], id);
      childOf(spans, root, 'pool.acquire');
      childOf(spans, root, 'function.invoke');
    });

    test('a message has a span of its own in the trace of its batch', async () => {
      const answer = await gateway.api<{ ids: string[] }>('POST', '/v1/queues/notes/messages', {
        messages: [{ body: { order: 1 } }],
      });
      assert.equal(answer.status, 202);
      const { id, messages } = await noted('queue');
      const spans = await traceOf(id);
      const root = rootOf(spans);
      assert.equal(root.kind, 'consumer');
      assert.equal(root.attributes['faas.trigger'], 'pubsub');
      childOf(spans, root, 'pool.acquire');
      childOf(spans, root, 'function.invoke');
      assert.equal(childOf(spans, root, 'process notes').attributes['messaging.message.id'], messages?.[0]);
    });
  });

  test('metrics have their conventional names, over OTLP and at /metrics', async () => {
    await gateway.api('POST', '/v1/functions/hello/evict');
    await call('/hello');
    await gateway.deploy('broken', 'export default { fetch() { throw new Error("no"); } }');
    assert.equal((await fetch(`${gateway.url}/broken`)).status, 500);
    await gateway.deploy('late', 'export default { fetch: () => new Promise(() => {}) }', {
      manifest: { hearth: { timeoutMs: 50 } },
    });
    assert.equal((await fetch(`${gateway.url}/late`)).status, 504);

    const names = [
      METRIC.coldstarts,
      METRIC.initDuration,
      METRIC.invokeDuration,
      METRIC.invocations,
      METRIC.errors,
      METRIC.timeouts,
      METRIC.cpuUsage,
      METRIC.memUsage,
      METRIC.poolBases,
      METRIC.acquireDuration,
      METRIC.phaseDuration,
    ].map(({ name }) => name);
    await metrics.waitForMetrics((received) => names.every((name) => received.has(name)));
    const { body: text } = await gateway.api<string>('GET', '/metrics');
    for (const name of names) assert.match(text, new RegExp(`^${name.replaceAll('.', '_')}`, 'm'));
  });
});

describe(`sampling at 1 % in ${backendName}`, { timeout: 120_000 }, () => {
  test('leaves none of fifty cold starts out', async () => {
    await using traces = await startTraceBackend();
    await using gateway = await startGateway({
      env: {
        ...EXPORT_SOON,
        OTEL_EXPORTER_OTLP_ENDPOINT: traces.otlpUrl,
        OTEL_TRACES_SAMPLER: 'traceidratio',
        OTEL_TRACES_SAMPLER_ARG: '0.01',
      },
    });
    await gateway.deploy('hello', 'export default { fetch: () => new Response("hello") }');
    const cold: string[] = [];
    while (cold.length < 50) {
      await gateway.api('POST', '/v1/functions/hello/evict');
      const response = await fetch(`${gateway.url}/hello`);
      await response.arrayBuffer();
      assert.equal(response.headers.get('hearth-start'), 'cold');
      cold.push(response.headers.get('hearth-invocation-id')!);
    }
    for (const id of cold) {
      const spans = await traces.findByInvocationId(id, (found) => found.length > 0);
      assert.equal(rootOf(spans).attributes['faas.coldstart'], true);
    }
  });
});
