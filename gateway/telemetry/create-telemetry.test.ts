import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import { createTelemetry } from './create-telemetry.ts';
import { createLogger } from './log.ts';
import type { Environment } from './otel-settings.ts';
import type { FinishedInvocation, Telemetry, TelemetrySources } from './telemetry.ts';
import { COLD, finished, poolSnapshot, silentLog, WARM } from './testing/finished.ts';
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from './testing/otlp-receiver.ts';

const SOURCES: TelemetrySources = { pool: () => poolSnapshot() };

interface Setup {
  receiver: OtlpReceiver;
  telemetry: Telemetry;
}

async function setUp(t: TestContext, env: Environment = {}, sources = SOURCES): Promise<Setup> {
  const receiver = await startOtlpReceiver();
  const telemetry = createTelemetry({
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_BSP_SCHEDULE_DELAY: '1', ...env },
    sources,
    now: Date.now,
    log: silentLog(),
    resource: { 'service.version': '0.1.0' },
  });
  t.after(async () => {
    await telemetry.shutdown(1000);
    await receiver.close();
  });
  return { receiver, telemetry };
}

/** The spans of one invocation as they arrive at the collector. */
async function exported(t: TestContext, changes: Partial<FinishedInvocation>, env: Environment = {}) {
  const { receiver, telemetry } = await setUp(t, env);
  const invocation = finished(telemetry, changes);
  telemetry.finished(invocation);
  await telemetry.shutdown(5000);
  return { invocation, spans: receiver.spans() };
}

function named(spans: ReceivedSpan[], name: string): ReceivedSpan {
  const found = spans.filter((span) => span.name === name);
  assert.equal(found.length, 1, `${name} among ${spans.map((span) => span.name).join(', ')}`);
  return found[0]!;
}

const timedOut = { code: 'FUNCTION_TIMEOUT', message: 'The function ran for 30000 ms.' } as const;

describe('spans of an HTTP call', () => {
  test('a warm one is the server span with pool.acquire and function.invoke under it', async (t) => {
    const { invocation, spans } = await exported(t, {});
    assert.equal(spans.length, 3);
    const server = named(spans, 'GET /hello');
    assert.equal(server.kind, 'server');
    assert.equal(server.parentSpanId, null);
    assert.equal(server.spanId, invocation.trace.serverSpanId);
    assert.deepEqual(server.attributes, {
      'faas.trigger': 'http',
      'faas.name': 'hello',
      'faas.version': 'v1',
      'hearth.arm': 'split',
      'faas.instance': 'base-1',
      'faas.invocation_id': 'inv-1',
      'faas.coldstart': false,
      'hearth.trust_group': 'default',
      'hearth.host': 'host-1',
      'hearth.attempt': 1,
      'http.request.method': 'GET',
      'http.response.status_code': 200,
      'url.path': '/hello/x',
      'url.scheme': 'http',
      'server.address': 'localhost',
    });
    assert.equal(server.resource['service.name'], 'hearth');
    assert.equal(server.resource['service.version'], '0.1.0');
    assert.equal(server.status.code, 'unset');
    for (const name of ['pool.acquire', 'function.invoke']) {
      const span = named(spans, name);
      assert.equal(span.parentSpanId, server.spanId);
      assert.equal(span.traceId, invocation.trace.traceId);
      assert.equal(span.attributes['faas.invocation_id'], 'inv-1');
    }
    assert.equal(named(spans, 'function.invoke').spanId, invocation.trace.invokeSpanId);
  });

  test('a cold one has function.load with its phases between the two', async (t) => {
    const { spans } = await exported(t, { facts: COLD });
    assert.equal(spans.length, 7);
    const server = named(spans, 'GET /hello');
    const load = named(spans, 'function.load');
    assert.equal(load.parentSpanId, server.spanId);
    for (const phase of ['transfer', 'compile', 'evaluate']) {
      assert.equal(named(spans, `function.load.${phase}`).parentSpanId, load.spanId);
    }
    for (const span of spans) assert.equal(span.attributes['faas.coldstart'], true, span.name);
  });

  test('times are those of the phases, one after another, to the end of the answer', async (t) => {
    const { spans } = await exported(t, { facts: COLD });
    const us = (ns: bigint) => Number((ns - 1_800_000_000_000_000_000n) / 1000n);
    const times = (name: string) => [us(named(spans, name).startNs), us(named(spans, name).endNs)];
    assert.deepEqual(times('GET /hello'), [250, 7000]);
    assert.deepEqual(times('pool.acquire'), [500, 1250]);
    assert.deepEqual(times('function.load'), [1250, 3000]);
    assert.deepEqual(times('function.load.transfer'), [1250, 1500]);
    assert.deepEqual(times('function.load.compile'), [1500, 2500]);
    assert.deepEqual(times('function.load.evaluate'), [2500, 3000]);
    assert.deepEqual(times('function.invoke'), [3000, 7000]);
  });

  test('no span leaves the server span, though the clocks of phases and epoch differ', async (t) => {
    const at = 1_800_000_000_000;
    const { spans } = await exported(t, {
      startedAtMs: at,
      endedAtMs: at + 1,
      facts: { ...COLD, arrivedAtMs: at - 0.9 },
    });
    const server = named(spans, 'GET /hello');
    for (const span of spans) {
      assert.ok(span.startNs >= server.startNs && span.endNs <= server.endNs, span.name);
      assert.ok(span.startNs <= span.endNs, span.name);
    }
  });

  test('the trace of the caller is continued, and the function gets the invoke span as its parent', async (t) => {
    const { receiver, telemetry } = await setUp(t);
    const trace = telemetry.begin('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01');
    assert.equal(telemetry.traceparent(trace), `00-4bf92f3577b34da6a3ce929d0e0e4736-${trace.invokeSpanId}-01`);
    telemetry.finished(finished(telemetry, { trace }));
    const spans = await receiver.waitForSpans((all) => all.length === 3);
    const server = named(spans, 'GET /hello');
    assert.equal(server.traceId, '4bf92f3577b34da6a3ce929d0e0e4736');
    assert.equal(server.parentSpanId, '00f067aa0ba902b7');
  });

  test('a traceparent that is not valid starts a trace', async (t) => {
    const { telemetry } = await setUp(t);
    const trace = telemetry.begin('00-nonsense');
    assert.match(trace.traceId, /^[0-9a-f]{32}$/);
    assert.equal(trace.parentSpanId, null);
  });

  test('the route names the span where it is known, and an invented method does not', async (t) => {
    const http = { method: 'BREW', path: '/hello/x', status: 200, host: 'localhost', route: '/hello/*' };
    const { spans } = await exported(t, { http });
    const server = named(spans, 'HTTP /hello/*');
    assert.equal(server.attributes['http.route'], '/hello/*');
    assert.equal(server.attributes['http.request.method'], '_OTHER');
    assert.equal(server.attributes['http.request.method_original'], 'BREW');
  });
});

describe('failures', () => {
  test('an error marks server span and invoke span with its code', async (t) => {
    const error = { code: 'FUNCTION_EXCEPTION', message: 'It threw.' } as const;
    const { spans } = await exported(t, { error });
    for (const name of ['GET /hello', 'function.invoke']) {
      assert.deepEqual(named(spans, name).status, { code: 'error', message: 'It threw.' });
      assert.equal(named(spans, name).attributes['error.type'], 'FUNCTION_EXCEPTION');
    }
    assert.equal(named(spans, 'pool.acquire').status.code, 'unset');
    assert.ok(!('error.type' in named(spans, 'pool.acquire').attributes));
  });

  test('what never got a base has no invoke span, and the wait is where it failed', async (t) => {
    const { message, code } = new HearthError('OVERLOADED', 'hello is at its limit.');
    const { spans } = await exported(t, { facts: null, error: { code, message } });
    assert.deepEqual(spans.map((span) => span.name).toSorted(), ['GET /hello', 'pool.acquire']);
    assert.equal(named(spans, 'pool.acquire').attributes['error.type'], 'OVERLOADED');
    assert.ok(!('faas.coldstart' in named(spans, 'GET /hello').attributes));
  });

  test('a 5xx that the function answered itself is an error by the HTTP conventions', async (t) => {
    const http = { method: 'GET', path: '/', status: 503, host: 'localhost' };
    const { spans } = await exported(t, { http }, { OTEL_TRACES_SAMPLER: 'always_off' });
    assert.equal(named(spans, 'GET /hello').status.code, 'error');
    assert.equal(named(spans, 'GET /hello').attributes['error.type'], '503');
    assert.equal(named(spans, 'function.invoke').status.code, 'unset');
  });

  test("a probe that does not load is a failed load, marked as a probe's, and no cold start", async (t) => {
    const error = { code: 'PROBE_FAILED', message: 'Its top level throws.' } as const;
    const { spans } = await exported(t, { facts: COLD, probe: true, error });
    assert.ok(!spans.some((span) => span.name === 'function.invoke'));
    assert.equal(named(spans, 'function.load').attributes['error.type'], 'PROBE_FAILED');
    for (const span of spans) {
      assert.equal(span.attributes['hearth.probe'], true, span.name);
      assert.ok(!('faas.coldstart' in span.attributes), span.name);
    }
  });
});

describe('other triggers', () => {
  test('a cron tick is a root span of a timer with its expression, its due time and how late it is', async (t) => {
    const { spans } = await exported(t, {
      trigger: 'cron',
      functionName: 'report',
      cron: { expression: '*/5 * * * *', scheduledTimeMs: Date.UTC(2027, 0, 15, 7, 59, 53) },
    });
    const root = named(spans, 'report');
    assert.equal(root.parentSpanId, null);
    assert.equal(root.attributes['faas.trigger'], 'timer');
    assert.equal(root.attributes['faas.cron'], '*/5 * * * *');
    assert.equal(root.attributes['faas.time'], '2027-01-15T07:59:53.000Z');
    assert.equal(root.attributes['hearth.cron.late_ms'], 7000);
    assert.equal(named(spans, 'function.invoke').attributes['faas.trigger'], 'timer');
  });

  test('a batch has its own span and one per message, each linked to its producer', async (t) => {
    const producer = '4bf92f3577b34da6a3ce929d0e0e4736';
    const { spans } = await exported(t, {
      trigger: 'queue',
      functionName: 'intake',
      queue: {
        name: 'orders',
        messages: [
          { id: 'm1', traceparent: `00-${producer}-00f067aa0ba902b7-01`, attempts: 1 },
          { id: 'm2', traceparent: null, attempts: 3 },
        ],
      },
    });
    const consumers = spans.filter((span) => span.name === 'process orders');
    assert.equal(consumers.length, 3);
    for (const span of consumers) {
      assert.equal(span.kind, 'consumer');
      assert.equal(span.attributes['faas.trigger'], 'pubsub');
      assert.equal(span.attributes['messaging.system.name'], 'hearth');
      assert.equal(span.attributes['messaging.destination.name'], 'orders');
      assert.equal(span.attributes['messaging.operation.type'], 'process');
      assert.equal(span.attributes['faas.invocation_id'], 'inv-1');
    }
    const batch = consumers.find((span) => span.parentSpanId === null)!;
    assert.equal(batch.attributes['messaging.batch.message_count'], 2);
    assert.deepEqual(batch.links, [{ traceId: producer, spanId: '00f067aa0ba902b7' }]);
    const [first, second] = ['m1', 'm2'].map(
      (id) => consumers.find((span) => span.attributes['messaging.message.id'] === id)!,
    );
    assert.deepEqual(first!.links, [{ traceId: producer, spanId: '00f067aa0ba902b7' }]);
    assert.deepEqual(second!.links, []);
    assert.equal(second!.attributes['hearth.message.attempts'], 3);
    for (const span of [first!, second!]) {
      assert.equal(span.parentSpanId, batch.spanId);
      assert.ok(!('messaging.batch.message_count' in span.attributes));
    }
  });

  test('an RPC call is named by function and method', async (t) => {
    const { spans } = await exported(t, { trigger: 'rpc', functionName: 'prices', rpc: { method: 'quote' } });
    const server = named(spans, 'prices/quote');
    assert.equal(server.kind, 'server');
    assert.equal(server.attributes['rpc.method'], 'prices/quote');
    assert.equal(server.attributes['faas.trigger'], 'other');
  });
});

describe('sampling', () => {
  const ONE_PERCENT = { OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.01' };

  test('at one percent all of fifty cold starts, errors and timeouts arrive, and few others', async (t) => {
    const { receiver, telemetry } = await setUp(t, ONE_PERCENT);
    for (let i = 0; i < 50; i++) {
      telemetry.finished(finished(telemetry, { invocationId: `cold-${i}`, facts: COLD }));
      telemetry.finished(finished(telemetry, { invocationId: `timeout-${i}`, error: timedOut }));
      telemetry.finished(
        finished(telemetry, { invocationId: `error-${i}`, error: { code: 'FUNCTION_CRASHED', message: 'gone' } }),
      );
    }
    for (let i = 0; i < 200; i++) telemetry.finished(finished(telemetry, { invocationId: `warm-${i}` }));
    await telemetry.shutdown(5000);
    const ids = new Set(receiver.spans().map((span) => String(span.attributes['faas.invocation_id'])));
    const count = (kind: string) => [...ids].filter((id) => id.startsWith(kind)).length;
    assert.deepEqual([count('cold-'), count('timeout-'), count('error-')], [50, 50, 50]);
    // 2 of 200 are expected; 40 would be a chance of less than 1 in 10^30.
    assert.ok(count('warm-') < 40, String(count('warm-')));
  });

  test("the parent's decision holds, and is passed on to the function", async (t) => {
    const { telemetry } = await setUp(t, ONE_PERCENT);
    const trace = telemetry.begin('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00');
    assert.equal(trace.sampled, false);
    assert.match(telemetry.traceparent(trace), /-00$/);
  });

  test('a flood of ordinary traces does not push out a cold start, and what it loses is counted', async (t) => {
    const small = {
      OTEL_BSP_MAX_QUEUE_SIZE: '30',
      OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '30',
      OTEL_BSP_SCHEDULE_DELAY: '60000',
    };
    const { receiver, telemetry } = await setUp(t, small);
    // The queue's size in spans starts an export at once; while the collector has not answered, the rest has to wait.
    for (let i = 0; i < 100; i++) telemetry.finished(finished(telemetry, { invocationId: `warm-${i}` }));
    telemetry.finished(finished(telemetry, { invocationId: 'the-cold-one', facts: COLD }));
    await telemetry.shutdown(5000);
    const spans = receiver.spans();
    assert.equal(spans.filter((span) => span.attributes['faas.invocation_id'] === 'the-cold-one').length, 7);
    const ordinary = spans.length - 7;
    const text = await telemetry.metricsText();
    const dropped = Number(/spans_dropped_total\{hearth_reason="queue_full"\} (\d+)/.exec(text)?.[1]);
    assert.ok(dropped > 0);
    assert.equal(ordinary + dropped, 300);
  });
});

describe('an unreachable collector', () => {
  async function closedPort(): Promise<number> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    await new Promise((resolve) => server.close(resolve));
    assert.ok(address !== null && typeof address === 'object');
    return address.port;
  }

  test('does not throw, is told once, and the lost spans are counted', async () => {
    const lines: string[] = [];
    const telemetry = createTelemetry({
      env: {
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `http://127.0.0.1:${await closedPort()}/v1/traces`,
        OTEL_EXPORTER_OTLP_TIMEOUT: '50',
      },
      sources: SOURCES,
      now: Date.now,
      log: createLogger({ level: 'warn', pretty: false, write: (line) => lines.push(line) }),
    });
    for (let i = 0; i < 10; i++) {
      telemetry.finished(finished(telemetry));
      telemetry.finished(finished(telemetry, { error: timedOut }));
    }
    await telemetry.shutdown(10_000);
    assert.equal(lines.length, 1, lines.join(''));
    assert.match(lines[0]!, /OpenTelemetry traces cannot be exported; requests are not affected/);
    assert.match(await telemetry.metricsText(), /spans_dropped_total\{hearth_reason="export_failed"\} 60\n/);
  });

  test('one that accepts and never answers does not hold up the shutdown', async (t) => {
    const server = createServer((socket) => socket.resume());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const sockets = new Set<import('node:net').Socket>();
    server.on('connection', (socket) => sockets.add(socket));
    t.after(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    const telemetry = createTelemetry({
      env: {
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `http://127.0.0.1:${address.port}`,
        OTEL_EXPORTER_OTLP_TIMEOUT: '1000',
      },
      sources: SOURCES,
      now: Date.now,
      log: silentLog(),
    });
    telemetry.finished(finished(telemetry));
    // Comes back by its own deadline; without one it would wait for the exporter's.
    await telemetry.shutdown(1);
    assert.match(
      await telemetry.metricsText(),
      /faas_invocations_total\{faas_name="hello",faas_trigger="http",faas_version="v1",hearth_arm="split"\} 1\n/,
    );
  });

  test('a collector that refuses is told once, and once more when it takes spans again', async (t) => {
    const receiver = await startOtlpReceiver();
    t.after(() => receiver.close());
    receiver.answerWith(400);
    const lines: { msg: string }[] = [];
    const seen = new EventTarget();
    const telemetry = createTelemetry({
      env: { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${receiver.url}/v1/traces`, OTEL_BSP_SCHEDULE_DELAY: '1' },
      sources: SOURCES,
      now: Date.now,
      log: createLogger({
        level: 'info',
        pretty: false,
        write(line) {
          lines.push(JSON.parse(line));
          seen.dispatchEvent(new Event('line'));
        },
      }),
    });
    const warned = new Promise((resolve) => seen.addEventListener('line', resolve, { once: true }));
    telemetry.finished(finished(telemetry));
    await warned;
    receiver.answerWith(200);
    telemetry.finished(finished(telemetry));
    await receiver.waitForSpans((spans) => spans.length === 3);
    await telemetry.shutdown(5000);
    assert.deepEqual(
      lines.map((line) => line.msg),
      [
        'OpenTelemetry traces cannot be exported; requests are not affected.',
        'OpenTelemetry traces are exported again.',
      ],
    );
  });
});

describe('export', () => {
  test('goes over OTLP with the headers that are set, compressed where that is asked', async (t) => {
    const { receiver, telemetry } = await setUp(t, {
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20sesame',
      OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
      OTEL_METRICS_EXPORTER: 'none',
    });
    telemetry.finished(finished(telemetry));
    await telemetry.shutdown(5000);
    assert.equal(receiver.spans().length, 3);
    assert.deepEqual(
      receiver.requests.map(({ path, headers }) => [path, headers.authorization, headers['content-encoding']]),
      [['/v1/traces', 'Bearer sesame', 'gzip']],
    );
    assert.equal(receiver.requests[0]!.headers['content-type'], 'application/x-protobuf');
  });

  test('without an endpoint nothing is sent, and metrics are kept all the same', async () => {
    const telemetry = createTelemetry({ env: {}, sources: SOURCES, now: Date.now, log: silentLog() });
    telemetry.finished(finished(telemetry, { facts: COLD }));
    assert.match(
      await telemetry.metricsText(),
      /faas_coldstarts_total\{faas_name="hello",faas_trigger="http",faas_version="v1",hearth_arm="split"\} 1\n/,
    );
    await telemetry.shutdown(1000);
  });

  test('a bad variable ends the start with one sentence', () => {
    const env = { OTEL_TRACES_SAMPLER: 'sometimes' };
    assert.throws(() => createTelemetry({ env, sources: SOURCES, now: Date.now, log: silentLog() }), {
      name: 'ConfigError',
      message: /^OTEL_TRACES_SAMPLER: given "sometimes", allowed is always_on/,
    });
  });

  test('shutdown may be asked twice', async (t) => {
    const { telemetry } = await setUp(t);
    await Promise.all([telemetry.shutdown(5000), telemetry.shutdown(5000)]);
    telemetry.finished(finished(telemetry, { facts: WARM }));
  });
});
