import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createTelemetry } from '../create-telemetry.ts';
import { COLD, finished, poolSnapshot, silentLog } from './finished.ts';
import { findJaeger, NO_JAEGER, startJaeger } from './jaeger.ts';

const binary = findJaeger();

describe('with Jaeger', { skip: binary === null ? NO_JAEGER : false }, () => {
  test('a cold start is found by its invocation id, with its whole chain', async () => {
    await using jaeger = await startJaeger(binary!);
    const telemetry = createTelemetry({
      env: { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${jaeger.otlpUrl}/v1/traces` },
      sources: { pool: () => poolSnapshot() },
      now: Date.now,
      log: silentLog(),
    });
    const invocation = finished(telemetry, { invocationId: 'inv-cold', facts: COLD });
    telemetry.finished(invocation);
    telemetry.finished(finished(telemetry, { invocationId: 'inv-other' }));
    await telemetry.shutdown(10_000);

    const spans = await jaeger.findByInvocationId('inv-cold');
    assert.deepEqual(spans.map((span) => span.name).toSorted(), [
      'GET /hello',
      'function.invoke',
      'function.load',
      'function.load.compile',
      'function.load.evaluate',
      'function.load.transfer',
      'pool.acquire',
    ]);
    const server = spans.find((span) => span.parentSpanId === null);
    assert.equal(server?.name, 'GET /hello');
    assert.equal(server?.traceId, invocation.trace.traceId);
    assert.equal(server?.tags['faas.coldstart'], true);
    assert.equal(server?.tags['faas.trigger'], 'http');
  });

  test('an unknown invocation is an error after the deadline', async () => {
    await using jaeger = await startJaeger(binary!);
    await assert.rejects(jaeger.findByInvocationId('inv-none', { deadlineMs: 200 }), /inv-none after 200 ms: nothing/);
  });
});

test('a binary that ends at once is an error with its output', async () => {
  await assert.rejects(startJaeger('/bin/false'), /ended before it was ready/);
  await assert.rejects(startJaeger('/nowhere/jaeger'), /ended before it was ready/);
});
