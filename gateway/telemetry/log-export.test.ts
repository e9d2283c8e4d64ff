import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTelemetry } from './create-telemetry.ts';
import type { FunctionLogLine } from './function-logs.ts';
import { poolSnapshot, silentLog } from './testing/finished.ts';
import { startOtlpReceiver } from './testing/otlp-receiver.ts';

const LINE: FunctionLogLine = {
  time: 1_800_000_000_000,
  level: 'warn',
  function: 'hello',
  version: 'v1',
  instance: 'base-1',
  invocationId: 'inv-1',
  arm: 'split',
  traceId: 'a'.repeat(32),
  spanId: 'b'.repeat(16),
  message: 'nearly out of stock',
};

const GIVE_UP_MS = 20_000;

function create(url: string, more: Record<string, string> = {}) {
  const env = { OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: `${url}/v1/logs`, OTEL_BLRP_SCHEDULE_DELAY: '10', ...more };
  return createTelemetry({ env, sources: { pool: poolSnapshot }, now: Date.now, log: silentLog() });
}

test('a line goes out with its severity, its function, its invocation, and its place in the trace', async () => {
  await using receiver = await startOtlpReceiver();
  const telemetry = create(receiver.url);
  telemetry.logged(LINE);
  telemetry.logged({ ...LINE, level: 'info', invocationId: null, arm: null, traceId: null, spanId: null });
  const [first, second] = await receiver.waitForLogs(({ length }) => length === 2, AbortSignal.timeout(GIVE_UP_MS));
  const { resource, ...record } = first ?? assert.fail();
  assert.equal(resource['service.name'], 'hearth');
  assert.deepEqual(record, {
    timeNs: 1_800_000_000_000_000_000n,
    severity: 'WARN',
    body: 'nearly out of stock',
    attributes: {
      'faas.name': 'hello',
      'faas.version': 'v1',
      'faas.instance': 'base-1',
      'faas.invocation_id': 'inv-1',
      'hearth.arm': 'split',
    },
    traceId: 'a'.repeat(32),
    spanId: 'b'.repeat(16),
  });
  assert.deepEqual(
    [second?.severity, second?.traceId, second?.attributes['faas.invocation_id']],
    ['INFO', '', undefined],
  );
  await telemetry.shutdown(1_000);
});

test('a collector that is away costs lines and nothing else: what does not fit is dropped and counted', async () => {
  await using receiver = await startOtlpReceiver();
  receiver.answerWith(400);
  const telemetry = create(receiver.url, { OTEL_BLRP_MAX_QUEUE_SIZE: '4', OTEL_BLRP_MAX_EXPORT_BATCH_SIZE: '4' });
  for (let n = 0; n < 20; n++) telemetry.logged(LINE);
  await telemetry.shutdown(GIVE_UP_MS);
  assert.match(await telemetry.metricsText(), /^hearth_telemetry_logs_dropped_total 20$/m);
});

test('what is queued goes out at the end', async () => {
  await using receiver = await startOtlpReceiver();
  const telemetry = create(receiver.url, { OTEL_BLRP_SCHEDULE_DELAY: '60000', OTEL_BLRP_MAX_EXPORT_BATCH_SIZE: '2' });
  for (let n = 0; n < 5; n++) telemetry.logged({ ...LINE, message: `line ${n}` });
  await telemetry.shutdown(GIVE_UP_MS);
  const logs = await receiver.waitForLogs(({ length }) => length === 5, AbortSignal.timeout(GIVE_UP_MS));
  assert.deepEqual(
    logs.map(({ body }) => body),
    ['line 0', 'line 1', 'line 2', 'line 3', 'line 4'],
  );
});
