/** What an owner sees of a running function: profiles, its health, how logs, traces and records fit together. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { hearthOf } from '../../functions/cli/testing/hearth.ts';
import { until } from '../../functions/examples/testing/until.ts';
import { startGateway, type TestGateway } from '../testing/gateway.ts';

let gateway: TestGateway;
let dir: string;

before(async () => {
  gateway = await startGateway();
  dir = await mkdtemp(join(tmpdir(), 'hearth-observed-'));
});
after(async () => {
  await gateway?.[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

describe('a profile', () => {
  const BURNS = `
import { burn } from './burn.ts';
const kept: { text: string }[] = [];
export default {
  async fetch(request: Request, env: unknown, ctx: { signal: AbortSignal }): Promise<Response> {
    kept.push({ text: 'kept-since-' + kept.length });
    if (new URL(request.url).pathname === '/burn') while (!ctx.signal.aborted) { burn(5); await new Promise(setImmediate); }
    return new Response(String(kept.length));
  },
};`;
  const BURN = `
interface Nothing { a: 1 }
export function burn(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until) Math.sqrt(2);
}`;

  before(async () => {
    await gateway.deploy('burns', { 'index.ts': BURNS, 'burn.ts': BURN }, { manifest: { main: 'index.ts' } });
  });

  test('by the CLI names the functions and lines of the source', async () => {
    const given = new AbortController();
    fetch(`${gateway.url}/burns/burn`, { signal: given.signal }).catch(() => undefined);
    const cli = hearthOf(gateway, { cwd: dir });
    const ran = await cli.run('profile', 'burns', '--seconds', '1');
    given.abort();
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(ran.stdout, /^\S+burns\.cpuprofile .*, of base-.*\nOpen it in .*Performance, Load\./);
    const profile = JSON.parse(await readFile(join(dir, 'burns.cpuprofile'), 'utf8')) as {
      nodes: { callFrame: { functionName: string; url: string; lineNumber: number } }[];
      startTime: number;
      endTime: number;
    };
    const burn = profile.nodes.find(({ callFrame }) => callFrame.functionName === 'burn')?.callFrame;
    assert.deepEqual([burn?.url, burn?.lineNumber], ['burn.ts', 2]);
    assert.ok(profile.endTime - profile.startTime > 100_000, 'microseconds');
    assert.equal((await cli.run('profile', 'burns', '--seconds', '600')).code, 2);
    assert.match((await cli.run('profile', 'nobody')).stderr, /NOT_FOUND/);
  });

  test('of the heap is a file for its owner alone, and the function answers afterwards', async () => {
    const cli = hearthOf(gateway, { cwd: dir });
    const ran = await cli.run('profile', 'burns', '--heap', '-o', 'heap.heapsnapshot');
    assert.equal(ran.code, 0, ran.stderr);
    const file = join(dir, 'heap.heapsnapshot');
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const { strings } = JSON.parse(await readFile(file, 'utf8')) as { strings: string[] };
    assert.ok(strings.includes('kept-since-0'));
    assert.equal((await fetch(`${gateway.url}/burns/`)).status, 200);
  });

  test('needs a scope of its own, and stands in the audit', async () => {
    const tokenOf = async (...scopes: string[]) => {
      const { body } = await gateway.api<{ token: string }>('POST', '/v1/tokens', { scopes });
      return { authorization: `Bearer ${body.token}` };
    };
    const ask = async (headers: Record<string, string>, body: object) =>
      (await gateway.api('POST', '/v1/functions/burns/profile', body, headers)).status;
    await fetch(`${gateway.url}/burns/`);
    const short = { seconds: 0.1 };
    assert.equal(await ask(await tokenOf('deploy:burns', 'read', 'invoke:*', 'profile:other'), short), 403);
    assert.equal(await ask(await tokenOf('profile:bur*'), short), 200);
    const elsewhere = { scopes: ['profile:*'], trustGroups: ['elsewhere'] };
    const made = await gateway.api<{ token: string }>('POST', '/v1/tokens', elsewhere);
    assert.equal(await ask({ authorization: `Bearer ${made.body.token}` }, short), 403);
    for (const body of [{ kind: 'inspector' }, { seconds: 61 }, { seconds: 'NaN' }, { more: 1 }, { instance: 7 }]) {
      assert.equal(await ask({}, body), 400, JSON.stringify(body));
    }
    assert.equal(await ask({}, { ...short, instance: 'base-none' }), 409);
    const { body } = await gateway.api<{ records: { action: string; subject: string; detail: object }[] }>(
      'GET',
      '/v1/audit',
    );
    const record = body.records.find(({ action }) => action === 'profile.heap');
    assert.deepEqual(
      [record?.subject, Object.keys(record?.detail ?? {})],
      ['burns', ['instance', 'host', 'version', 'functions']],
    );
  });

  test('of a base that others stand in is taken only when that is said', async () => {
    const group = { hearth: { group: 'pair', memoryMb: 32 } };
    for (const name of ['left', 'right']) {
      await gateway.deploy(name, `export default { fetch: () => new Response('${name}') }`, { manifest: group });
      await fetch(`${gateway.url}/${name}`);
    }
    const ask = (body: object) => gateway.api<{ detail: string }>('POST', '/v1/functions/left/profile', body);
    const refused = await ask({ seconds: 0.1 });
    assert.equal(refused.status, 409);
    assert.match(refused.body.detail, /holds left, right/);
    assert.equal((await ask({ seconds: 0.1, shared: true })).status, 200);
  });
});

describe('health of a function', () => {
  interface Health {
    state: string;
    lastSuccessAt: string | null;
    lastError: { code: string; message: string; invocationId: string } | null;
    failuresInARow: number;
    restarts: number;
    instances: number;
  }
  const healthOf = async (name: string) => (await gateway.api<Health>('GET', `/v1/functions/${name}/health`)).body;

  test('follows its calls, names the last error, and counts the bases that were lost', async () => {
    const source = `export default {
      fetch(request) {
        if (request.url.endsWith('/throws')) throw new RangeError('out of stock');
        if (request.url.endsWith('/spins')) for (;;);
        return new Response('fine');
      },
    };`;
    await gateway.deploy('moody', source, { manifest: { limits: { cpu_ms: 50 } } });
    const call = (path: string) => fetch(`${gateway.url}/moody/${path}`);
    assert.deepEqual([(await healthOf('moody')).state, (await healthOf('moody')).lastError], ['serving', null]);
    for (let n = 0; n < 3; n++) assert.equal((await call('throws')).status, 500);
    const failing = await healthOf('moody');
    assert.deepEqual([failing.state, failing.failuresInARow, failing.instances], ['failing', 3, 1]);
    assert.equal(failing.lastError?.message, 'RangeError: out of stock');

    const { body: invocation } = await gateway.api<{ traceId: string; error: { code: string } }>(
      'GET',
      `/v1/invocations/${failing.lastError?.invocationId}`,
    );
    assert.equal(invocation.error.code, failing.lastError?.code);
    assert.match(invocation.traceId, /^[0-9a-f]{32}$/);
    const { body: metrics } = await gateway.api<string>('GET', '/metrics');
    assert.match(metrics, /^hearth_function_health\{faas_name="moody",hearth_health_state="failing"\} 0$/m);
    assert.match(metrics, /^hearth_store_used_bytes \d+$/m);

    assert.equal(await (await call('')).text(), 'fine');
    assert.equal((await healthOf('moody')).state, 'serving');
    assert.equal((await call('spins')).status, 504);
    assert.equal((await healthOf('moody')).restarts, 1);
    assert.equal((await gateway.api('GET', '/v1/functions/nobody/health')).status, 404);
  });

  test('says that nothing of it takes traffic', async () => {
    await gateway.deploy('resting', 'export default { fetch: () => new Response() }', { query: 'activate=false' });
    assert.equal((await healthOf('resting')).state, 'inactive');
  });
});

test('a line of a log leads to its invocation, and that to its trace, whatever triggered it', async () => {
  await gateway.deploy(
    'writes',
    `export default {
    fetch: () => { console.log('by request'); return new Response(); },
    queue: (batch) => console.warn('by queue', batch.messages.length),
  }`,
    { manifest: { queues: { consumers: [{ queue: 'writes', max_batch_timeout: 0 }] } } },
  );
  await fetch(`${gateway.url}/writes`);
  await gateway.api('POST', '/v1/queues/writes/messages', { messages: [{ body: 1 }] });
  interface Line {
    message: string;
    invocationId: string;
    traceId: string;
    spanId: string;
  }
  for (const [message, trigger] of [
    ['by request', 'http'],
    ['by queue 1', 'queue'],
  ] as const) {
    const line = await until(async () => {
      const { body } = await gateway.api<{ lines: Line[] }>('GET', '/v1/functions/writes/logs');
      return body.lines.find((each) => each.message === message);
    }, message);
    const { body } = await gateway.api<{ id: string; traceId: string; trigger: string }>(
      'GET',
      `/v1/invocations/${line.invocationId}`,
    );
    assert.deepEqual([body.id, body.traceId, body.trigger], [line.invocationId, line.traceId, trigger]);
    assert.match(line.spanId, /^[0-9a-f]{16}$/);
    const own = gateway
      .output()
      .split('\n')
      .find((one) => one.includes(`"${message}"`));
    const { invocation_id, trace_id, span_id } = JSON.parse(own ?? '{}') as Record<string, string>;
    assert.deepEqual([invocation_id, trace_id, span_id], [line.invocationId, line.traceId, line.spanId]);
  }
});

test('calls of neighbours in one base are counted, those that throw too', async () => {
  const group = { hearth: { group: 'counted', memoryMb: 32 } };
  await gateway.deploy(
    'inner',
    `export default { fetch(request) { if (request.url.endsWith('/no')) throw new Error('no'); return new Response('inner'); } }`,
    { manifest: group },
  );
  await gateway.deploy(
    'outer',
    `export default { async fetch(request, env) {
      await env.INNER.fetch('http://inner/no').catch(() => undefined);
      return env.INNER.fetch('http://inner/yes');
    } }`,
    { manifest: { ...group, services: [{ binding: 'INNER', service: 'inner' }] } },
  );
  for (const name of ['inner', 'outer']) assert.equal(await (await fetch(`${gateway.url}/${name}`)).text(), 'inner');
  const count = async (name: string) => {
    const { body } = await gateway.api<string>('GET', '/metrics');
    return Number(new RegExp(`^hearth_group_${name}_total\\{faas_name="inner"\\} (\\d+)$`, 'm').exec(body)?.[1] ?? 0);
  };
  const calls = await until(async () => (await count('calls')) || undefined, 'the count');
  assert.deepEqual([calls, await count('errors')], [2, 1]);
});
