import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createTelemetry } from './create-telemetry.ts';
import type { Environment } from './otel-settings.ts';
import type { TelemetrySources } from './telemetry.ts';
import { COLD, finished, poolSnapshot, silentLog } from './testing/finished.ts';
import { type ReceivedMetric, startOtlpReceiver } from './testing/otlp-receiver.ts';

const EMPTY: TelemetrySources = { pool: () => poolSnapshot() };

function create(env: Environment = {}, sources = EMPTY) {
  return createTelemetry({ env, sources, now: Date.now, log: silentLog() });
}

/** Samples of the text by name with labels. */
async function samples(text: string): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [, name = '', value] = /^(\S+(?:\{.*\})?) (\S+)$/.exec(line) ?? assert.fail(`not a sample: ${line}`);
    assert.ok(!found.has(name), `twice: ${name}`);
    found.set(name, Number(value));
  }
  return found;
}

async function pushed(t: TestContext, use: (telemetry: ReturnType<typeof create>) => void, sources = EMPTY) {
  const receiver = await startOtlpReceiver();
  t.after(() => receiver.close());
  const telemetry = create({ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `${receiver.url}/v1/metrics` }, sources);
  use(telemetry);
  await telemetry.shutdown(10_000);
  return receiver.metrics();
}

function point(metrics: Map<string, ReceivedMetric>, name: string, attributes: Record<string, string> = {}) {
  const metric = metrics.get(name) ?? assert.fail(`${name} among ${[...metrics.keys()].join(', ')}`);
  const same = metric.points.filter((each) => Object.entries(attributes).every(([k, v]) => each.attributes[k] === v));
  assert.equal(same.length, 1, `${name} ${JSON.stringify(attributes)}`);
  return same[0]!;
}

const LABELS = 'faas_name="hello",faas_trigger="http",faas_version="v1",hearth_arm="split"';

test('invocations count what succeeded, errors what did not, by code, and timeouts are among them', async () => {
  const telemetry = create();
  telemetry.finished(finished(telemetry));
  telemetry.finished(finished(telemetry));
  telemetry.finished(finished(telemetry, { error: { code: 'FUNCTION_EXCEPTION', message: 'no' } }));
  telemetry.finished(finished(telemetry, { error: { code: 'FUNCTION_TIMEOUT', message: 'no' } }));
  telemetry.finished(finished(telemetry, { facts: null, error: { code: 'OVERLOADED', message: 'no' } }));
  const found = await samples(await telemetry.metricsText());
  assert.equal(found.get(`faas_invocations_total{${LABELS}}`), 2);
  for (const code of ['FUNCTION_EXCEPTION', 'FUNCTION_TIMEOUT', 'OVERLOADED']) {
    assert.equal(found.get(`faas_errors_total{${LABELS},error_type="${code}"}`), 1);
  }
  assert.equal(found.get(`faas_timeouts_total{${LABELS}}`), 1);
  assert.equal(found.get(`faas_invoke_duration_seconds_count{${LABELS}}`), 4);
  assert.ok(!found.has(`faas_coldstarts_total{${LABELS}}`));
});

test('a cold start is counted with its phases, which add up; a probe is not counted at all', async () => {
  const telemetry = create();
  telemetry.finished(finished(telemetry, { facts: COLD }));
  telemetry.finished(finished(telemetry, { facts: COLD, probe: true, functionName: 'probed' }));
  const text = await telemetry.metricsText();
  assert.doesNotMatch(text, /probed/);
  const found = await samples(text);
  assert.equal(found.get(`faas_coldstarts_total{${LABELS}}`), 1);
  assert.equal(found.get(`faas_init_duration_seconds_sum{${LABELS}}`), 0.002_25);
  let total = 0;
  for (const phase of ['wait', 'acquire', 'transfer', 'compile', 'evaluate', 'run']) {
    const labels = `hearth_coldstart_phase="${phase}"`;
    assert.equal(found.get(`hearth_coldstart_phase_duration_seconds_count{${labels}}`), 1, phase);
    total += found.get(`hearth_coldstart_phase_duration_seconds_sum{${labels}}`) ?? Number.NaN;
  }
  assert.ok(Math.abs(total - 0.0045) < 1e-9, String(total));
});

test('buckets are cumulative, and a value on a bound belongs to it', async () => {
  const telemetry = create();
  telemetry.acquired(0.5);
  telemetry.acquired(0.51);
  telemetry.acquired(60_000);
  const found = await samples(await telemetry.metricsText());
  const bucket = (le: string) => found.get(`hearth_pool_acquire_duration_seconds_bucket{le="${le}"}`);
  assert.deepEqual(
    [bucket('0.00025'), bucket('0.0005'), bucket('0.001'), bucket('5'), bucket('+Inf')],
    [0, 1, 2, 2, 3],
  );
  assert.equal(found.get('hearth_pool_acquire_duration_seconds_count'), 3);
});

test('label values are escaped', async () => {
  const telemetry = create();
  telemetry.queueDepth('a"b\\c\nd', 3, 1500);
  const text = await telemetry.metricsText();
  assert.ok(text.includes('hearth_queue_depth{messaging_destination_name="a\\"b\\\\c\\nd"} 3\n'));
  assert.ok(text.includes('hearth_queue_oldest_age_seconds{messaging_destination_name="a\\"b\\\\c\\nd"} 1.5\n'));
});

test('each family has one header, and the text ends with a line end', async () => {
  const telemetry = create();
  for (let i = 0; i < 200; i++) telemetry.finished(finished(telemetry, { functionName: `f${i}`, facts: COLD }));
  const text = await telemetry.metricsText();
  const types = text.match(/^# TYPE \S+/gm) ?? [];
  assert.ok(types.length >= 10, types.join());
  assert.equal(new Set(types).size, types.length);
  assert.ok(text.endsWith('\n'));
  assert.equal((text.match(/^faas_invocations_total\{/gm) ?? []).length, 200);
});

test('metrics of a deleted function and queue go, those of others stay', async () => {
  const telemetry = create();
  for (const functionName of ['gone', 'stays']) {
    const error = { code: 'FUNCTION_TIMEOUT', message: 'no' } as const;
    telemetry.finished(finished(telemetry, { functionName, facts: COLD, error }));
    telemetry.finished(finished(telemetry, { functionName, trigger: 'cron' }));
    telemetry.queueDepth(functionName, 1, 1);
  }
  telemetry.forgetFunction('gone');
  telemetry.forgetFunction('never-there');
  telemetry.forgetQueue('gone');
  const text = await telemetry.metricsText();
  assert.doesNotMatch(text, /"gone"/);
  assert.match(text, /"stays"/);
  telemetry.finished(finished(telemetry, { functionName: 'gone' }));
  assert.match(
    await telemetry.metricsText(),
    /faas_invocations_total\{faas_name="gone",faas_trigger="http",faas_version="v1",hearth_arm="split"\} 1\n/,
  );
});

test('versions are told apart while traffic leads to them, all others are counted together', async () => {
  const serving = new Set(['v1', 'v2']);
  const telemetry = create(
    {},
    { pool: () => poolSnapshot(), serves: (name, version) => name === 'hello' && serving.has(version) },
  );
  const error = { code: 'FUNCTION_TIMEOUT', message: 'no' } as const;
  for (const version of ['v1', 'v2', 'v2', 'v3', 'v4']) telemetry.finished(finished(telemetry, { version }));
  telemetry.finished(finished(telemetry, { version: 'v1', facts: COLD, error }));
  const count = async (version: string) => {
    const labels = `faas_name="hello",faas_trigger="http",faas_version="${version}",hearth_arm="split"`;
    return (await samples(await telemetry.metricsText())).get(`faas_invocations_total{${labels}}`);
  };
  assert.deepEqual(await Promise.all(['v1', 'v2', 'other', 'v3'].map(count)), [1, 2, 2, undefined]);

  serving.delete('v1');
  telemetry.forgetVersions('hello', (version) => serving.has(version));
  telemetry.forgetVersions('never-there', () => false);
  assert.doesNotMatch(await telemetry.metricsText(), /"v1"/);
  telemetry.finished(finished(telemetry, { version: 'v1' }));
  assert.deepEqual(await Promise.all(['v1', 'v2', 'other'].map(count)), [undefined, 2, 3]);
});

test('arms of one version are told apart, and beyond fifty of them all others are counted together', async () => {
  const telemetry = create();
  for (const arm of ['split', 'rule', 'rule', 'override']) telemetry.finished(finished(telemetry, { arm }));
  for (let n = 0; n < 60; n++) telemetry.finished(finished(telemetry, { arm: `shop/${n}` }));
  telemetry.finished(finished(telemetry, { arm: 'shop/0' }));
  const found = await samples(await telemetry.metricsText());
  const count = (arm: string) =>
    found.get(`faas_invocations_total{faas_name="hello",faas_trigger="http",faas_version="v1",hearth_arm="${arm}"}`);
  assert.deepEqual(['split', 'rule', 'override', 'shop/0', 'shop/46', 'shop/47', 'other'].map(count), [
    1,
    2,
    1,
    2,
    1,
    undefined,
    13,
  ]);
});

test('the pool is told by state, and hosts with the memory and CPU time that are known', async (t) => {
  const host = {
    id: 'host-1',
    pid: process.pid,
    base: 'default',
    generation: 1,
    pool: 'default',
    lentBy: null,
    trustGroup: 'shop',
    network: 'all',
    state: 'running',
    memoryBytes: 50_000_000,
    bases: [],
  } as const;
  const sources = {
    pool: () =>
      poolSnapshot({
        hosts: [
          { ...host, bases: [] },
          { ...host, id: 'host-2', pid: null, trustGroup: null, state: 'starting', memoryBytes: null, bases: [] },
        ],
      }),
  };
  const metrics = await pushed(t, (telemetry) => telemetry.acquired(1), sources);
  const inPool = { 'hearth.pool': 'default' };
  assert.equal(point(metrics, 'hearth.pool.bases', { ...inPool, 'hearth.base.state': 'warm' }).value, 3);
  assert.equal(point(metrics, 'hearth.pool.hosts', { ...inPool, 'hearth.host.state': 'running' }).value, 1);
  assert.equal(point(metrics, 'hearth.pool.waiting', inPool).value, 4);
  assert.equal(point(metrics, 'hearth.pool.size', inPool).value, 256);
  assert.equal(point(metrics, 'hearth.pool.borrowed', inPool).value, 0);
  const memory = point(metrics, 'faas.mem_usage');
  assert.equal(memory.value, 50_000_000);
  assert.deepEqual(memory.attributes, {
    'hearth.host': 'host-1',
    'hearth.base': 'default',
    'hearth.pool': 'default',
    'hearth.trust_group': 'shop',
  });
  if (process.platform !== 'linux') return;
  // This very process: /proc counts in hundredths, and both are read while it runs on.
  const cpu = point(metrics, 'faas.cpu_usage').value;
  const own = process.cpuUsage();
  assert.ok(cpu > 0 && cpu <= (own.user + own.system) / 1e6 + 0.02, String(cpu));
});

test('a host that is gone has no CPU time', async () => {
  const host = {
    id: 'h',
    base: 'default',
    generation: 1,
    pool: 'default',
    lentBy: null,
    trustGroup: null,
    network: null,
    state: 'dead',
    memoryBytes: null,
  } as const;
  const sources = { pool: () => poolSnapshot({ hosts: [{ ...host, pid: 2 ** 22 + 1, bases: [] }] }) };
  assert.doesNotMatch(await create({}, sources).metricsText(), /faas_cpu_usage/);
});

test('over OTLP metrics have their conventional names, units and kinds', async (t) => {
  const metrics = await pushed(t, (telemetry) => {
    telemetry.finished(finished(telemetry, { facts: COLD }));
    telemetry.finished(finished(telemetry, { error: { code: 'FUNCTION_TIMEOUT', message: 'no' } }));
    telemetry.finished(finished(telemetry, { trigger: 'queue', queue: { name: 'orders', messages: [] } }));
    telemetry.acquired(0.5);
    telemetry.queueDepth('orders', 7, 2000);
  });
  const kinds = Object.fromEntries([...metrics.values()].map(({ name, unit, type }) => [name, `${type} ${unit}`]));
  assert.deepEqual(kinds, {
    'faas.invocations': 'sum {invocation}',
    'faas.invoke_duration': 'histogram s',
    'faas.coldstarts': 'sum {coldstart}',
    'faas.init_duration': 'histogram s',
    'faas.errors': 'sum {error}',
    'faas.timeouts': 'sum {timeout}',
    'hearth.coldstart.phase_duration': 'histogram s',
    'hearth.pool.acquire_duration': 'histogram s',
    'hearth.pool.bases': 'gauge {base}',
    'hearth.pool.borrowed': 'gauge {base}',
    'hearth.pool.size': 'gauge {base}',
    'hearth.pool.hosts': 'gauge {host}',
    'hearth.pool.waiting': 'gauge {invocation}',
    'hearth.queue.depth': 'gauge {message}',
    'hearth.queue.oldest_age': 'gauge s',
    'hearth.telemetry.logs_dropped': 'sum {line}',
    'hearth.telemetry.spans_dropped': 'sum {span}',
  });
  assert.equal(point(metrics, 'faas.invocations', { 'faas.trigger': 'http' }).value, 1);
  assert.equal(point(metrics, 'faas.invocations', { 'faas.trigger': 'pubsub' }).value, 1);
  assert.equal(point(metrics, 'hearth.queue.depth', { 'messaging.destination.name': 'orders' }).value, 7);
  assert.equal(metrics.get('faas.invocations')?.resource['service.name'], 'hearth');
  const init = point(metrics, 'faas.init_duration').histogram!;
  assert.equal(init.count, 1);
  assert.equal(init.counts.length, init.bounds.length + 1);
  assert.equal(init.counts[init.bounds.indexOf(0.003)], 1);
});

test('three thousand functions all arrive over OTLP', async (t) => {
  const metrics = await pushed(t, (telemetry) => {
    const call = finished(telemetry);
    for (let i = 0; i < 3000; i++) telemetry.finished({ ...call, functionName: `f${i}` });
  });
  assert.equal(metrics.get('faas.invocations')?.points.length, 3000);
  assert.equal(metrics.get('faas.invoke_duration')?.points.length, 3000);
});

test('functions are told with how they fare, and the state with what it takes', async () => {
  const sources = {
    pool: () => poolSnapshot(),
    health: () =>
      new Map([
        ['good', { state: 'serving', restarts: 0 }],
        ['bad', { state: 'failing', restarts: 3 }],
      ] as const),
    store: () => ({ usedBytes: 5, limitBytes: 100 }),
  };
  const found = await samples(await create({}, sources).metricsText());
  assert.equal(found.get('hearth_function_health{faas_name="good",hearth_health_state="serving"}'), 1);
  assert.equal(found.get('hearth_function_health{faas_name="bad",hearth_health_state="failing"}'), 0);
  assert.equal(found.get('hearth_function_restarts_total{faas_name="bad"}'), 3);
  assert.equal(found.get('hearth_store_used_bytes'), 5);
  assert.equal(found.get('hearth_store_limit_bytes'), 100);
  assert.doesNotMatch(await create().metricsText(), /^hearth_(function|store)_\S+[{ ]/m);
});

test('calls by neighbours are counted apart, and go with their function', async () => {
  const telemetry = create();
  telemetry.direct('part', 5, 2);
  telemetry.direct('part', 1, 0);
  telemetry.direct('other', 1, 0);
  const found = await samples(await telemetry.metricsText());
  assert.equal(found.get('hearth_group_calls_total{faas_name="part"}'), 6);
  assert.equal(found.get('hearth_group_errors_total{faas_name="part"}'), 2);
  telemetry.forgetFunction('part');
  assert.doesNotMatch(await telemetry.metricsText(), /"part"/);
});

test('a broken snapshot fails the reading, not the counting', async () => {
  const telemetry = create(
    {},
    {
      pool() {
        throw new Error('no pool yet');
      },
    },
  );
  telemetry.finished(finished(telemetry));
  await assert.rejects(telemetry.metricsText(), /no pool yet/);
  telemetry.finished(finished(telemetry));
});
