import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../config.ts';
import { type Environment, readOtelSettings } from './otel-settings.ts';
import { createSampler } from './sampler.ts';

test('without an endpoint nothing is exported, and the service is called hearth', () => {
  const settings = readOtelSettings({});
  assert.equal(settings.traces, null);
  assert.equal(settings.metrics, null);
  assert.deepEqual(settings.resource, { 'service.name': 'hearth' });
  assert.deepEqual(settings.sampler, { parentBased: true, root: 'always_on', ratio: 1 });
});

test('the common endpoint gets the path of each signal, an own endpoint is taken as it is', () => {
  const common = readOtelSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/base' });
  assert.equal(common.traces?.url, 'http://collector:4318/base/v1/traces');
  assert.equal(common.metrics?.url, 'http://collector:4318/base/v1/metrics');
  const own = readOtelSettings({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://collector/in' });
  assert.equal(own.traces?.url, 'https://collector/in');
  assert.equal(own.metrics, null);
});

test('a signal is turned off by its exporter, all by the SDK switch', () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };
  assert.equal(readOtelSettings({ ...endpoint, OTEL_METRICS_EXPORTER: 'none' }).metrics, null);
  assert.equal(readOtelSettings({ ...endpoint, OTEL_SDK_DISABLED: 'true' }).traces, null);
});

test('headers of a signal are added to the common ones, and are percent-decoded', () => {
  const settings = readOtelSettings({
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318',
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20abc, x-team=shop',
    OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'x-team=traces',
  });
  assert.deepEqual(settings.traces?.headers, { authorization: 'Bearer abc', 'x-team': 'traces' });
  assert.deepEqual(settings.metrics?.headers, { authorization: 'Bearer abc', 'x-team': 'shop' });
});

test('OTEL_SERVICE_NAME wins over the resource attributes', () => {
  const { resource } = readOtelSettings({
    OTEL_RESOURCE_ATTRIBUTES: 'service.name=other,deployment.environment.name=test',
    OTEL_SERVICE_NAME: 'mine',
  });
  assert.deepEqual(resource, { 'service.name': 'mine', 'deployment.environment.name': 'test' });
});

test('empty values are no values', () => {
  const settings = readOtelSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: '', OTEL_TRACES_SAMPLER: ' ' });
  assert.equal(settings.traces, null);
  assert.equal(settings.sampler.root, 'always_on');
});

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };
const BAD: [Environment, RegExp][] = [
  [{ OTEL_TRACES_SAMPLER: 'often' }, /^OTEL_TRACES_SAMPLER: given "often", allowed is always_on, always_off, /],
  [
    { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '1.5' },
    /^OTEL_TRACES_SAMPLER_ARG: given "1.5", allowed is a number from 0 to 1\.$/,
  ],
  [{ OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: 'x' }, /^OTEL_TRACES_SAMPLER_ARG: /],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' }, /^OTEL_EXPORTER_OTLP_ENDPOINT: given "collector:4318", allowed/],
  [{ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'no url' }, /^OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: /],
  [{ ...ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, /^OTEL_EXPORTER_OTLP_PROTOCOL: .* http\/protobuf\.$/],
  [{ ...ENDPOINT, OTEL_EXPORTER_OTLP_COMPRESSION: 'zip' }, /^OTEL_EXPORTER_OTLP_COMPRESSION: .* none, gzip\.$/],
  [{ ...ENDPOINT, OTEL_TRACES_EXPORTER: 'zipkin' }, /^OTEL_TRACES_EXPORTER: .* otlp, none\.$/],
  [{ OTEL_BSP_SCHEDULE_DELAY: '0' }, /^OTEL_BSP_SCHEDULE_DELAY: given "0", allowed is a whole number from 1 /],
  [{ OTEL_BSP_MAX_QUEUE_SIZE: '2.5' }, /^OTEL_BSP_MAX_QUEUE_SIZE: given "2.5"/],
  [
    { OTEL_BSP_MAX_QUEUE_SIZE: '10', OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '20' },
    /^OTEL_BSP_MAX_EXPORT_BATCH_SIZE: given "20", allowed is at most the queue, 10\.$/,
  ],
  [{ OTEL_METRIC_EXPORT_INTERVAL: 'soon' }, /^OTEL_METRIC_EXPORT_INTERVAL: given "soon"/],
  [{ OTEL_RESOURCE_ATTRIBUTES: 'a=1,b' }, /^OTEL_RESOURCE_ATTRIBUTES: not readable, allowed is key=value/],
  [{ OTEL_RESOURCE_ATTRIBUTES: 'a=%zz' }, /^OTEL_RESOURCE_ATTRIBUTES: .* %25\.$/],
  [{ OTEL_SDK_DISABLED: 'maybe' }, /^OTEL_SDK_DISABLED: /],
];

for (const [env, sentence] of BAD) {
  test(`a bad value is told in one line: ${JSON.stringify(env)}`, () => {
    assert.throws(
      () => readOtelSettings(env),
      (error) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, sentence);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );
  });
}

test('a malformed header does not show its credentials', () => {
  const env = { ...ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS: 'Bearer sesame' };
  assert.throws(() => readOtelSettings(env), { message: /^OTEL_EXPORTER_OTLP_HEADERS: (?!.*sesame)/ });
});

test('samplers: the parent decides when it is to, else the root', () => {
  const ids = ['00000000000000000000000000000001', 'ffffffff000000000000000000000000'];
  const decisions = (sampler: string, arg: string) => {
    const { decide } = createSampler(
      readOtelSettings({ OTEL_TRACES_SAMPLER: sampler, OTEL_TRACES_SAMPLER_ARG: arg }).sampler,
    );
    return [...ids.map((id) => decide(id, null)), decide(ids[1]!, true), decide(ids[0]!, false)];
  };
  assert.deepEqual(decisions('always_on', ''), [true, true, true, true]);
  assert.deepEqual(decisions('always_off', ''), [false, false, false, false]);
  assert.deepEqual(decisions('parentbased_always_on', ''), [true, true, true, false]);
  assert.deepEqual(decisions('parentbased_always_off', ''), [false, false, true, false]);
  assert.deepEqual(decisions('traceidratio', '0.5'), [true, false, false, true]);
  assert.deepEqual(decisions('parentbased_traceidratio', '0.5'), [true, false, true, false]);
  assert.deepEqual(decisions('traceidratio', '0'), [false, false, false, false]);
});
