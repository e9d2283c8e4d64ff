import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { type SpanReport, traceparentUnder } from '../../functions/contract/span.ts';
import { createTelemetry } from './create-telemetry.ts';
import { placeReported } from './reported-spans.ts';
import type { FinishedInvocation } from './telemetry.ts';
import { COLD, finished, poolSnapshot, silentLog, WARM } from './testing/finished.ts';
import { startOtlpReceiver } from './testing/otlp-receiver.ts';

const report = (changes: Partial<SpanReport>): SpanReport => ({
  id: 1,
  parent: null,
  name: 'step one',
  startedAt: 0,
  endedAt: 0,
  error: null,
  attributes: {},
  ...changes,
});

/** Spans as a collector gets them. */
async function exported(t: TestContext, changes: Partial<FinishedInvocation>) {
  const receiver = await startOtlpReceiver();
  const telemetry = createTelemetry({
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url },
    sources: { pool: () => poolSnapshot() },
    now: Date.now,
    log: silentLog(),
  });
  t.after(async () => {
    await telemetry.shutdown(1000);
    await receiver.close();
  });
  const invocation = finished(telemetry, changes);
  telemetry.finished(invocation);
  await telemetry.shutdown(5000);
  return { invocation, spans: receiver.spans() };
}

describe('what a base reports of an invocation', () => {
  test('is exported under function.invoke, each under its parent, with its error and what the gateway knows', async (t) => {
    const { invocation, spans } = await exported(t, {
      spans: [
        report({
          id: 2,
          parent: 1,
          name: 'step one',
          error: 'no',
          attributes: { 'hearth.step': 'one', 'faas.name': 'liar' },
        }),
        report({ id: 1, name: 'flow welcome', attributes: { 'hearth.flow': 'welcome' } }),
        report({ id: 4, parent: 3, name: 'orphan' }),
      ],
    });
    const named = (name: string) => spans.find((span) => span.name === name) ?? assert.fail(name);
    const [flow, step] = [named('flow welcome'), named('step one')];
    assert.equal(flow.parentSpanId, invocation.trace.invokeSpanId);
    assert.equal(step.parentSpanId, flow.spanId);
    assert.equal(named('orphan').parentSpanId, invocation.trace.invokeSpanId);
    // What the function calls within a span knows it by the same id, before it has ended.
    assert.match(
      traceparentUnder(`00-${flow.traceId}-${invocation.trace.invokeSpanId}-01`, 2),
      new RegExp(`-${step.spanId}-`),
    );
    assert.ok([flow, step].every(({ traceId }) => traceId === invocation.trace.traceId));
    assert.deepEqual([step.status.code, step.status.message], ['error', 'no']);
    assert.equal(flow.status.code, 'unset');
    assert.deepEqual(
      [step.attributes['hearth.step'], step.attributes['faas.name'], step.attributes['faas.invocation_id']],
      ['one', 'hello', 'inv-1'],
    );
  });

  test('is there also when the invocation failed', async (t) => {
    const error = { code: 'FUNCTION_TIMEOUT', message: 'late' } as const;
    const { spans } = await exported(t, { error, spans: [report({})] });
    assert.ok(spans.some(({ name }) => name === 'step one'));
  });
});

describe('placing', () => {
  // Arrived at 1000 on the base's clock; the phases of COLD up to the call take 2.5 ms, the run 2.
  const facts = { ...COLD, arrivedAtMs: 50_000, headAt: 1004.5 };

  test('puts a moment of the base where it was on the gateway clock', () => {
    const [placed] = placeReported([report({ startedAt: 1003, endedAt: 1004 })], facts, 50_002.5, 50_005);
    assert.deepEqual([placed?.from, placed?.to], [50_003, 50_004]);
  });

  test('cuts what lies outside of the run, whatever a base says', () => {
    const wild = [report({ startedAt: 0, endedAt: 1e12 }), report({ id: 2, startedAt: 1e12, endedAt: 2e12 })];
    const placed = placeReported(wild, facts, 50_002.5, 50_005).map(({ from, to }) => [from, to]);
    assert.deepEqual(placed, [
      [50_002.5, 50_005],
      [50_005, 50_005],
    ]);
  });

  test('gives parents before children', () => {
    const reports = [report({ id: 3, parent: 2 }), report({ id: 2, parent: 1 }), report({ id: 1 })];
    assert.deepEqual(
      placeReported(reports, WARM, 0, 1).map(({ report: { id } }) => id),
      [1, 2, 3],
    );
  });
});
