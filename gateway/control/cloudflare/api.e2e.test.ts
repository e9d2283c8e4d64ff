import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startGateway, type TestGateway } from '../../testing/gateway.ts';

describe('the Cloudflare API', () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startGateway({ env: { HEARTH_MAX_DEPLOY_MB: '2' } });
    await gateway.deploy('hello', `export default { fetch: () => new Response('hello') };`);
    await gateway.deploy('jobs', `export default { scheduled() {}, queue() {} };`);
    const consumer = { type: 'worker', script_name: 'jobs', settings: { batch_size: 3 } };
    assert.equal((await call('POST', 'queues/jobs-out/consumers', JSON.stringify(consumer))).status, 200);
  });
  after(() => gateway[Symbol.asyncDispose]());

  type Envelope = { success: boolean; errors: { code: number; message: string }[]; result: unknown };

  async function call(method: string, path: string, body?: string | FormData, headers: Record<string, string> = {}) {
    const response = await fetch(`${gateway.adminUrl}/client/v4/accounts/a/${path}`, {
      method,
      headers: { authorization: `Bearer ${gateway.token}`, ...headers },
      ...(body === undefined ? {} : { body }),
    });
    const envelope = (await response.json()) as Envelope;
    return {
      status: response.status,
      ...envelope,
      code: envelope.errors[0]?.code ?? 0,
      said: envelope.errors[0]?.message ?? '',
    };
  }

  function form(metadata: object, content: string): FormData {
    const made = new FormData();
    made.set('metadata', JSON.stringify(metadata));
    made.append('index.js', new File([content], 'index.js', { type: 'application/javascript+module' }));
    return made;
  }

  it('answers in its envelope, with a code, whatever is wrong', async () => {
    const scripts = 'workers/scripts';
    const none = { authorization: 'Bearer nobody' };
    const module_ = { main_module: 'index.js' };
    for (const [given, status, code, said] of [
      [call('GET', scripts, undefined, none), 401, 10000, /not known/],
      [call('GET', 'workers/unknown'), 404, 7003, /Hearth has no GET/],
      [call('PATCH', 'workers/scripts/hello'), 404, 7003, /Hearth has no PATCH/],
      [call('GET', `${scripts}/nobody/settings`), 404, 10007, /no Worker "nobody"/],
      [call('GET', 'workers/services/nobody'), 404, 10090, /no Worker "nobody"/],
      [call('GET', `${scripts}/Not_A_Name/settings`), 400, 10001, /no name for a function/],
      [call('PUT', `${scripts}/bad`, 'text'), 400, 10001, /multipart/],
      [call('PUT', `${scripts}/bad`, form(module_, 'export default {')), 422, 10021, /index\.js:1:\d+/],
      [call('PUT', `${scripts}/bad`, form(module_, 'throw new Error("top")')), 422, 10021, /top/],
      [
        call('PUT', `${scripts}/bad`, form({ main_module: '../index.js' }, 'export default {}')),
        422,
        10021,
        /not among the deployed/,
      ],
      [call('PUT', `${scripts}/bad`, form(module_, 'x'.repeat(2 * 1024 * 1024))), 413, 10027, /HEARTH_MAX_DEPLOY_MB/],
      [call('PUT', `${scripts}/hello/secrets`, '{"name":"a b","text":"","type":"secret_text"}'), 400, 10001, /name/],
      [call('PUT', `${scripts}/hello/schedules`, '[{"cron":"0 0 * * 8"}]'), 400, 10001, /weekdays are 1 to 7/],
      [call('PUT', `${scripts}/jobs/schedules`, '[{"cron":"never"}]'), 400, 10001, /five fields/],
      [call('PUT', `${scripts}/hello/schedules`, '[{"cron":"0 0 * * *"}]'), 400, 10001, /no scheduled handler/],
      [call('PUT', `${scripts}/jobs/routes`, '[{"pattern":"https://a.example/*"}]'), 400, 10001, /has a scheme/],
      [
        call(
          'POST',
          `${scripts}/hello/deployments`,
          '{"versions":[{"version_id":"00000000-0000-0000-0000-000000000000","percentage":100}]}',
        ),
        404,
        7003,
        /no version/,
      ],
      [
        call('POST', 'queues/jobs-out/consumers', '{"type":"http_pull","script_name":"jobs"}'),
        400,
        10001,
        /pull consumers do not/,
      ],
      [call('POST', 'queues/Bad Name/consumers', '{}'), 404, 7003, /no queue/],
      [
        call('POST', 'queues/jobs-out/consumers', `{"type":"worker","script_name":"hello"}`),
        400,
        10001,
        /no queue handler/,
      ],
      [
        call('PUT', `${scripts}/jobs/schedules`, `${'['.repeat(20_000)}${']'.repeat(20_000)}`),
        400,
        10001,
        /more than 1000/,
      ],
    ] as const) {
      const answer = await given;
      assert.deepEqual([answer.status, answer.code, answer.success], [status, code, false], JSON.stringify(answer));
      assert.match(answer.said, said);
    }
    assert.equal((await gateway.api('GET', '/v1/functions/bad')).status, 404);
  });

  it('asks again for contents that no version has: what somebody left under a hash comes to nobody', async () => {
    const hash = 'd'.repeat(32);
    const opened = async () => {
      const manifest = { '/v.js': { hash, size: 4 } };
      const answer = await call('POST', 'workers/scripts/left/assets-upload-session', JSON.stringify({ manifest }));
      return answer.result as { jwt: string; buckets: string[][] };
    };
    const put = (jwt: string, body: string) =>
      call('POST', `workers/assets/upload/${hash}`, body, { authorization: `Bearer ${jwt}` });
    const asset = async () => await (await fetch(`${gateway.url}/left/v.js`)).text();
    const { jwt: early } = await opened();
    assert.equal((await put(early, 'evil')).status, 200);
    const { jwt, buckets } = await opened();
    assert.deepEqual(buckets, [[hash]]);
    assert.equal((await put(jwt, 'good')).status, 200);
    const worker = form({ main_module: 'index.js', assets: { jwt } }, 'export default { fetch: () => new Response() }');
    assert.equal((await call('PUT', 'workers/scripts/left', worker)).status, 200);
    assert.equal((await put(early, 'evil')).status, 200);
    assert.equal(await asset(), 'good');
    assert.deepEqual((await opened()).buckets, []);
  });

  it('takes contents of assets for the upload they were listed in, and for nothing else', async () => {
    const hash = 'a'.repeat(32);
    const session = (manifest: object) =>
      call('POST', 'workers/scripts/site/assets-upload-session', JSON.stringify({ manifest }));
    for (const manifest of [
      { 'a.txt': { hash, size: 1 } },
      { '/a.txt': { hash: '../../x', size: 1 } },
      { '/a.txt': { hash, size: 26 * 1024 * 1024 } },
      { '/a.txt': { hash, size: -1 } },
    ]) {
      assert.equal((await session(manifest)).status, 400, JSON.stringify(manifest));
    }
    assert.equal((await session({ '/a.txt': { hash, size: 3 * 1024 * 1024 } })).status, 413);
    const opened = await session({ '/a.txt': { hash, size: 3 } });
    const { jwt } = opened.result as { jwt: string };
    const put = (token: string, key: string, body: string) =>
      call('POST', `workers/assets/upload/${key}`, body, { authorization: `Bearer ${token}` });
    assert.equal((await put(gateway.token, hash, 'abc')).status, 401);
    assert.equal((await put(`${jwt.slice(0, -6)}AAAAAA`, hash, 'abc')).status, 401);
    assert.equal((await put(jwt, 'b'.repeat(32), 'abc')).status, 400);
    assert.match((await put(jwt, hash, 'abcd')).said, /4 bytes, and 3 in the list/);
    const early = await call(
      'PUT',
      'workers/scripts/site',
      form({ main_module: 'index.js', assets: { jwt } }, 'export default {}'),
    );
    assert.deepEqual([early.status, early.code], [409, 10020], 'its contents are not there yet');
    assert.equal((await put(jwt, hash, 'abc')).status, 200);
    const listed = { main_module: 'index.js', assets: { jwt, config: { not_found_handling: 'none' } } };
    const asset = async () => await (await fetch(`${gateway.url}/site/a.txt`)).text();
    const worker = (word: string) => `export default { fetch: () => new Response('${word}') }`;
    assert.equal((await call('PUT', 'workers/scripts/site', form(listed, worker('one')))).status, 200);
    assert.equal(await asset(), 'abc');
    const kept = { main_module: 'index.js', keep_assets: true };
    assert.equal((await call('PUT', 'workers/scripts/site', form(kept, worker('two')))).status, 200);
    assert.deepEqual([await asset(), await (await fetch(`${gateway.url}/site/b`)).text()], ['abc', 'two']);
    const headers = { main_module: 'index.js', assets: { jwt, config: { _headers: '/*\n x: y' } } };
    const refused = await call('PUT', 'workers/scripts/site', form(headers, worker('three')));
    assert.deepEqual([refused.status, refused.code], [422, 10021]);
    assert.match(refused.said, /"_headers" of the assets is part of Workers/);
    const foreign = await call(
      'PUT',
      'workers/scripts/other',
      form({ main_module: 'index.js', assets: { jwt } }, 'export default {}'),
    );
    assert.deepEqual([foreign.status, foreign.code], [403, 10023]);
    const upward = await session({ '/../a.txt': { hash, size: 3 } });
    const climbing = { main_module: 'index.js', assets: { jwt: (upward.result as { jwt: string }).jwt } };
    assert.equal((await call('PUT', 'workers/scripts/site', form(climbing, 'export default {}'))).status, 422);
  });

  it('deploys under the settings that the function has, and into the trust group of the token', async () => {
    const source = { 'index.ts': `export default { fetch: () => new Response('v1') };` };
    await gateway.deploy('kept', source, { manifest: { hearth: { memoryMb: 64, timeoutMs: 1234, label: '1.0' } } });
    const bindings = [
      { type: 'r2_bucket', name: 'FILES', bucket_name: 'files' },
      { type: 'ratelimit', name: 'LIMIT', namespace_id: '1', simple: { limit: 1, period: 60 } },
      { type: 'version_metadata', name: 'VERSION' },
    ];
    const worker = (metadata: object) =>
      form(
        { main_module: 'index.js', ...metadata },
        'export default { fetch: (_r, env) => Response.json(Object.keys(env).sort()) }',
      );
    assert.equal((await call('PUT', 'workers/scripts/kept', worker({ bindings }))).status, 200);
    assert.deepEqual(await (await fetch(`${gateway.url}/kept`)).json(), ['FILES', 'LIMIT', 'VERSION']);
    const settingsOf = async (name: string) => {
      const entry = await gateway.api<{ version: string }>('GET', `/v1/functions/${name}`);
      const path = `/v1/functions/${name}/versions/${entry.body.version}`;
      const { body } = await gateway.api<{ manifest: { hearth: Record<string, unknown> } }>('GET', path);
      return body.manifest.hearth;
    };
    const { memoryMb, timeoutMs, label } = await settingsOf('kept');
    assert.deepEqual([memoryMb, timeoutMs, label], [64, 1234, undefined]);

    const grants = { scopes: ['deploy:team-*'], trustGroups: ['team'] };
    const made = await gateway.api<{ token: string }>('POST', '/v1/tokens', grants);
    const as = { authorization: `Bearer ${made.body.token}` };
    assert.equal((await call('PUT', 'workers/scripts/team-a', worker({}), as)).status, 200);
    assert.equal((await settingsOf('team-a')).trustGroup, 'team');
  });

  it('shows a token no more than it may see', async () => {
    const made = await gateway.api<{ token: string }>('POST', '/v1/tokens', { scopes: ['deploy:other-*'] });
    const as = { authorization: `Bearer ${made.body.token}` };
    for (const path of [
      'workers/scripts',
      'workers/scripts/jobs/settings',
      'workers/scripts/jobs/versions',
      'workers/scripts/jobs/secrets',
      'queues',
      'storage/kv/namespaces',
    ]) {
      const { status, code } = await call('GET', path, undefined, as);
      assert.deepEqual([status, code], [403, 10023], path);
    }
    const queue = await call('GET', 'queues?name=jobs-out', undefined, as);
    assert.deepEqual((queue.result as { consumers: object[] }[])[0]?.consumers, []);
    assert.equal(
      (await call('POST', 'queues/jobs-out/consumers', '{"type":"worker","script_name":"jobs"}', as)).status,
      403,
    );
    assert.equal((await call('DELETE', 'workers/services/jobs', undefined, as)).status, 403);
  });
});
