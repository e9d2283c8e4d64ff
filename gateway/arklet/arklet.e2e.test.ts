/** arklet's commands through the real gateway: what Koupleless' tools send, and what nobody should. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { ProcessRecord } from './operations.ts';
import type { BatchResponse, BizInfo } from './protocol.ts';
import { jarOf, tgzOf, zipOf } from './testing/archives.ts';
import { type ArkletGateway, startArklet } from './testing/arklet.ts';

const says = (text: string) => `export default { fetch: () => new Response(${JSON.stringify(text)}) };`;

describe('arklet', { timeout: 120_000 }, () => {
  let modules: string;
  let store: Server;
  let storeHost: string;
  let arklet: ArkletGateway;
  const file = (name: string, bytes: string | Buffer) => {
    writeFileSync(join(modules, name), bytes);
    return `file://${join(modules, name)}`;
  };
  const text = async (path: string) => (await fetch(`${arklet.gateway.url}${path}`)).text();
  const status = async (path: string) => (await fetch(`${arklet.gateway.url}${path}`)).status;

  before(async () => {
    modules = mkdtempSync(join(tmpdir(), 'hearth-modules-'));
    store = createServer((request, response) => {
      if (request.url === '/cart-1.0.0.tgz') {
        response.end(tgzOf([{ path: 'package/index.js', text: says('cart from the store') }]));
      } else response.writeHead(404).end();
    });
    store.listen(0, '127.0.0.1');
    await once(store, 'listening');
    storeHost = `127.0.0.1:${(store.address() as AddressInfo).port}`;
    arklet = await startArklet({ env: { HEARTH_ARKLET_SOURCES: `${modules},${storeHost}` } });
  });
  after(async () => {
    await arklet?.[Symbol.asyncDispose]();
    store?.close();
    rmSync(modules, { recursive: true, force: true });
  });

  test('help lists every command', async () => {
    const { code, data } = await arklet.command<{ id: string; desc: string }[]>('help');
    assert.equal(code, 'SUCCESS');
    assert.deepEqual(
      data.map(({ id }) => id),
      ['help', 'installBiz', 'batchInstallBiz', 'uninstallBiz', 'switchBiz', 'queryAllBiz', 'queryBizOps', 'health'],
    );
    const docs = await arklet.gateway.api<string>('GET', '/docs/arklet');
    for (const { id } of data) assert.ok(docs.body.includes(`POST /${id}<`), id);
  });

  test('a biz is installed, a second version beside it, traffic switched, both uninstalled', async () => {
    const one = await arklet.command('installBiz', {
      bizName: 'shop',
      bizVersion: '1.0.0',
      bizUrl: file('shop.ts', says('one')),
    });
    assert.equal(one.code, 'SUCCESS', JSON.stringify(one));
    assert.equal(one.data.code, 'SUCCESS');
    assert.match(
      one.data.message,
      /^Install Biz: shop:1\.0\.0 success, cost: \d+ ms, started at: \d\d:\d\d:\d\d,\d{3}$/,
    );
    const [info] = one.data.bizInfos as [BizInfo];
    assert.deepEqual(
      { ...info, attributes: {} },
      {
        bizName: 'shop',
        bizVersion: '1.0.0',
        bizState: 'ACTIVATED',
        mainClass: '',
        webContextPath: 'shop',
        attributes: {},
        bizStateRecords: [],
      },
    );
    assert.match(info.attributes.hearthVersion ?? '', /^[\da-f]{24}$/);
    assert.equal(await text('/shop'), 'one');

    const two = await arklet.command('installBiz', {
      bizName: 'shop',
      bizVersion: '2.0.0',
      bizUrl: file('shop.ts', says('two')),
    });
    assert.equal(two.data.bizInfos[0]?.bizState, 'DEACTIVATED');
    assert.deepEqual(await arklet.installed(), ['shop:1.0.0 ACTIVATED', 'shop:2.0.0 DEACTIVATED']);
    assert.equal(await text('/shop'), 'one');

    assert.deepEqual((await arklet.command('switchBiz', { bizName: 'shop', bizVersion: '2.0.0' })).data, {
      code: 'SUCCESS',
      message: 'Switch biz: shop:2.0.0 is activated.',
      bizInfos: [],
    });
    assert.equal(await text('/shop'), 'two');
    assert.deepEqual(await arklet.installed(), ['shop:1.0.0 DEACTIVATED', 'shop:2.0.0 ACTIVATED']);

    assert.equal((await arklet.command('uninstallBiz', { bizName: 'shop', bizVersion: '2.0.0' })).code, 'SUCCESS');
    assert.equal(await status('/shop'), 404);
    assert.deepEqual(await arklet.installed(), ['shop:1.0.0 DEACTIVATED']);
    assert.equal((await arklet.command('uninstallBiz', { bizName: 'shop', bizVersion: '1.0.0' })).code, 'SUCCESS');
    assert.deepEqual(await arklet.installed(), []);
    assert.equal((await arklet.gateway.api('GET', '/v1/functions/shop')).status, 404);
  });

  test('the same content under another bizVersion is another version', async () => {
    const bizUrl = file('same.ts', says('same'));
    for (const bizVersion of ['1.0.0', '1.0.1']) {
      assert.equal((await arklet.command('installBiz', { bizName: 'same', bizVersion, bizUrl })).code, 'SUCCESS');
    }
    const again = await arklet.command('installBiz', { bizName: 'same', bizVersion: '1.0.1', bizUrl });
    assert.equal(again.code, 'FAILED');
    assert.deepEqual(again.data.code, 'REPEAT_BIZ');
    assert.equal(again.data.message, 'Biz: same:1.0.1 has been installed or registered.');
    assert.deepEqual(await arklet.installed(), ['same:1.0.0 ACTIVATED', 'same:1.0.1 DEACTIVATED']);
    for (const bizVersion of ['1.0.1', '1.0.0']) await arklet.command('uninstallBiz', { bizName: 'same', bizVersion });
    assert.deepEqual(await arklet.installed(), []);
  });

  test('uninstallThenInstall leaves the new version alone, serving, and the old one when the new one fails', async () => {
    const installStrategy = 'uninstallThenInstall';
    const install = (bizVersion: string, source: string, extra = {}) =>
      arklet.command('installBiz', { bizName: 'till', bizVersion, bizUrl: file('till.ts', source), ...extra });
    await install('1.0.0', says('old'));
    assert.equal((await install('2.0.0', 'export default {', { installStrategy })).code, 'FAILED');
    assert.equal(await text('/till'), 'old');
    assert.equal((await install('2.0.0', says('new'), { installStrategy })).code, 'SUCCESS');
    assert.equal(await text('/till'), 'new');
    assert.deepEqual(await arklet.installed(), ['till:2.0.0 ACTIVATED']);
    assert.equal((await install('2.0.0', says('newer'), { installStrategy })).code, 'SUCCESS');
    assert.equal(await text('/till'), 'newer');
    assert.deepEqual(await arklet.installed(), ['till:2.0.0 ACTIVATED']);
    await arklet.command('uninstallBiz', { bizName: 'till', bizVersion: '2.0.0' });
  });

  test('archives from a URL and a jar that names itself are installed', async () => {
    const cart = await arklet.command('installBiz', {
      bizName: 'cart',
      bizVersion: '1.0.0',
      bizUrl: `http://${storeHost}/cart-1.0.0.tgz`,
    });
    assert.equal(cart.code, 'SUCCESS', JSON.stringify(cart));
    assert.equal(await text('/cart'), 'cart from the store');
    const jar = jarOf(
      { 'Ark-Biz-Name': 'jarred', 'Ark-Biz-Version': '0.1.0' },
      { 'src/index.ts': says('from a jar'), 'hearth.jsonc': '{ "main": "src/index.ts", "vars": { "A": "b" } }' },
    );
    assert.equal((await arklet.command('installBiz', { bizUrl: file('any.jar', jar) })).code, 'SUCCESS');
    assert.equal(await text('/jarred'), 'from a jar');
    const { body } = await arklet.gateway.api<{ versions: { version: string }[] }>(
      'GET',
      '/v1/functions/jarred/versions',
    );
    const version = await arklet.gateway.api<{ manifest: { vars: unknown; hearth: { label: string } } }>(
      'GET',
      `/v1/functions/jarred/versions/${body.versions[0]?.version}`,
    );
    assert.deepEqual(version.body.manifest.vars, { A: 'b' });
    assert.equal(version.body.manifest.hearth.label, '0.1.0');
    await arklet.command('uninstallBiz', { bizName: 'jarred', bizVersion: '0.1.0' });
    await arklet.command('uninstallBiz', { bizName: 'cart', bizVersion: '1.0.0' });
  });

  test('what is refused says why, and leaves nothing behind', async () => {
    const bizUrl = file('bad.ts', 'export default {\n  fetch(: 1\n};');
    const broken = await arklet.command('installBiz', { bizName: 'bad', bizVersion: '1', bizUrl });
    assert.equal(broken.code, 'FAILED');
    assert.equal(broken.data.code, 'FAILED');
    assert.match(broken.message ?? '', /^Install Biz: bad:1 fail: /);
    assert.match(broken.errorStackTrace ?? '', /^index\.ts:2:\d+: /);

    const good = file('good.ts', says('good'));
    const refused: [body: Record<string, unknown>, why: RegExp][] = [
      [{}, /^bizUrl should not be blank$/],
      [{ bizUrl: 7 }, /^bizUrl: /],
      [{ bizUrl: good, bizName: 'a' }, /both blank or both not blank/],
      [{ bizUrl: good, async: true, bizName: 'a', bizVersion: '1' }, /requestId should not be blank/],
      [{ bizUrl: good, bizName: 'a', bizVersion: '1', args: ['--x'] }, /^args are for the main method of a JVM/],
      [{ bizUrl: good, bizName: 'a', bizVersion: '1', envs: { A: 'b' } }, /^envs are for/],
      [{ bizUrl: good, bizName: 'a', bizVersion: '1', installStrategy: 'other' }, /^installStrategy: /],
      [{ bizUrl: good, bizName: 'Not_A_Name', bizVersion: '1' }, /bizName is the name of a function/],
      [{ bizUrl: good, bizName: 'a', bizVersion: '1/2' }, /bizVersion has letters/],
      [{ bizUrl: good }, /does not say which biz it is/],
      [{ bizUrl: 'file:///etc/passwd', bizName: 'a', bizVersion: '1' }, /HEARTH_ARKLET_SOURCES/],
      [{ bizUrl: `${arklet.arkletUrl}/help`, bizName: 'a', bizVersion: '1' }, /HEARTH_ARKLET_SOURCES/],
      [{ bizUrl: `http://${storeHost}/absent.zip`, bizName: 'a', bizVersion: '1' }, /answered 404/],
      [{ bizUrl: file('evil.zip', zipOf([{ path: '../x.ts', text: 'x' }])), bizName: 'a', bizVersion: '1' }, /"\.\."/],
      [{ bizUrl: file('empty.zip', zipOf([])), bizName: 'a', bizVersion: '1' }, /holds no file/],
    ];
    for (const [body, why] of refused) {
      const { code, message } = await arklet.command('installBiz', body);
      assert.equal(code, 'FAILED', JSON.stringify(body));
      assert.match((message ?? '').replace(/^Install Biz: .* fail: /, ''), why, JSON.stringify(body));
    }
    assert.deepEqual(await arklet.installed(), []);

    const absent = { bizName: 'nobody', bizVersion: '1' };
    assert.deepEqual((await arklet.command('uninstallBiz', absent)).data.code, 'NOT_FOUND_BIZ');
    assert.deepEqual((await arklet.command('switchBiz', absent)).data.code, 'NOT_FOUND_BIZ');
    assert.match((await arklet.command('switchBiz', { bizName: 'a' })).message ?? '', /bizVersion should not be blank/);
  });

  test('a version among several that share the traffic is not uninstalled; one call gives it all of it', async () => {
    await arklet.command('installBiz', { bizName: 'split', bizVersion: '1', bizUrl: file('split.ts', says('1')) });
    await arklet.command('installBiz', { bizName: 'split', bizVersion: '2', bizUrl: file('split.ts', says('2')) });
    const { body } = await arklet.gateway.api<{ versions: { version: string }[] }>(
      'GET',
      '/v1/functions/split/versions',
    );
    const split = body.versions.map(({ version }) => ({ version, percent: 50 }));
    const put = await arklet.gateway.api('PUT', '/v1/functions/split/traffic', { split });
    assert.equal(put.status, 200, JSON.stringify(put.body));
    assert.deepEqual(await arklet.installed(), ['split:1 ACTIVATED', 'split:2 ACTIVATED']);
    const refused = await arklet.command('uninstallBiz', { bizName: 'split', bizVersion: '1' });
    assert.equal(refused.data.code, 'ILLEGAL_STATE_BIZ');
    await arklet.command('switchBiz', { bizName: 'split', bizVersion: '2' });
    assert.deepEqual(await arklet.installed(), ['split:1 DEACTIVATED', 'split:2 ACTIVATED']);
    for (let call = 0; call < 5; call += 1) assert.equal(await text('/split'), '2');
    const [oldest] = body.versions.slice(-1);
    const rollout = await arklet.gateway.api<{ id: string }>('POST', '/v1/rollouts', {
      functions: [{ name: 'split', version: oldest?.version }],
      steps: [{ percent: 100, pauseSeconds: 600 }],
    });
    assert.equal(rollout.status, 201, JSON.stringify(rollout.body));
    for (const bizVersion of ['1', '2']) {
      const needed = await arklet.command('uninstallBiz', { bizName: 'split', bizVersion });
      assert.equal(needed.data.code, 'ILLEGAL_STATE_BIZ');
      assert.match(needed.data.message, /is in (a|the) rollout/);
    }
    await arklet.gateway.api('PATCH', `/v1/rollouts/${rollout.body.id}`, { action: 'abort' });
    // The version that was switched from goes first, as Koupleless' tools do it: no rollback leads there any more.
    assert.equal((await arklet.command('uninstallBiz', { bizName: 'split', bizVersion: '1' })).code, 'SUCCESS');
    assert.equal(await text('/split'), '2');
    assert.equal((await arklet.gateway.api('POST', '/v1/functions/split/rollback')).status, 409);
    await arklet.command('uninstallBiz', { bizName: 'split', bizVersion: '2' });
  });

  test('what the control API deployed is a biz by its hash; what its operator set outlives an uninstall', async () => {
    const { version } = await arklet.gateway.deploy('plain', says('plain'));
    assert.deepEqual(await arklet.installed(), [`plain:${version} ACTIVATED`]);
    const put = await arklet.gateway.api('PUT', '/v1/functions/plain/secrets/KEY', { value: 'kept' });
    assert.ok(put.status < 300, JSON.stringify(put.body));
    assert.equal((await arklet.command('uninstallBiz', { bizName: 'plain', bizVersion: version })).code, 'SUCCESS');
    assert.deepEqual(await arklet.installed(), []);
    assert.equal(await status('/plain'), 404);
    const source = 'export default { fetch: (_r, env) => new Response(env.KEY) };';
    const again = await arklet.command('installBiz', {
      bizName: 'plain',
      bizVersion: '2',
      bizUrl: file('p.ts', source),
    });
    assert.equal(again.data.bizInfos[0]?.bizState, 'ACTIVATED');
    assert.equal(await text('/plain'), 'kept');
    assert.equal((await arklet.gateway.api('DELETE', '/v1/functions/plain')).status, 204);
  });

  test('async commands are begun at once, once, and told of by queryBizOps', async () => {
    const body = {
      bizName: 'later',
      bizVersion: '1',
      bizUrl: file('later.ts', says('later')),
      async: true,
      requestId: 'r-1',
    };
    const begun = await arklet.command<ProcessRecord>('installBiz', body);
    assert.equal(begun.code, 'SUCCESS');
    assert.equal(begun.data.requestId, 'r-1');
    assert.deepEqual(begun.data.arkBizMeta, { bizName: 'later', bizVersion: '1', requestId: 'r-1', async: true });
    assert.match((await arklet.command('installBiz', body)).message ?? '', /requestId\(r-1\) has been executed/);
    const done = await finished(arklet, 'r-1');
    assert.equal(done.status, 'SUCCEEDED');
    assert.equal(done.elapsedTime, (done.endTimestamp ?? 0) - done.startTimestamp);
    assert.equal(await text('/later'), 'later');

    await arklet.command('installBiz', { ...body, requestId: 'r-2' });
    const repeated = await finished(arklet, 'r-2');
    assert.equal(repeated.status, 'FAILED');
    assert.match(repeated.message ?? '', /has been installed or registered/);
    await arklet.command('uninstallBiz', { bizName: 'later', bizVersion: '1', async: true, requestId: 'r-3' });
    assert.equal((await finished(arklet, 'r-3')).status, 'SUCCEEDED');
    assert.match((await arklet.command('queryBizOps', { requestId: 'r-9' })).message ?? '', /^Not found/);
    assert.match((await arklet.command('queryBizOps')).message ?? '', /requestId should not be blank/);
  });

  test('what is being installed is RESOLVED, and no second command is taken for it meanwhile', async () => {
    // Its ready path is answered when this test says so.
    const gate = createServer();
    gate.listen(0, '127.0.0.1');
    await once(gate, 'listening');
    const asked = once(gate, 'request') as Promise<[IncomingMessage, ServerResponse]>;
    const source = `export default { fetch: async (_r, env) => new Response(await (await fetch(env.GATE)).text()) };`;
    const manifest = {
      vars: { GATE: `http://127.0.0.1:${(gate.address() as AddressInfo).port}` },
      hearth: { ready: '/ready' },
    };
    const bundle = zipOf([
      { path: 'index.ts', text: source },
      { path: 'hearth.jsonc', text: JSON.stringify(manifest) },
    ]);
    const biz = { bizName: 'slow', bizVersion: '1', bizUrl: file('slow.zip', bundle) };
    try {
      const begun = await arklet.command<ProcessRecord>('installBiz', { ...biz, async: true, requestId: 'r-slow' });
      const [, answer] = await asked;
      assert.equal(begun.code, 'SUCCESS');
      assert.deepEqual(await arklet.installed(), ['slow:1 RESOLVED']);
      const { data } = await arklet.command<ProcessRecord>('queryBizOps', { requestId: 'r-slow' });
      assert.equal(data.status, 'EXECUTING');
      for (const command of ['installBiz', 'switchBiz', 'uninstallBiz']) {
        const refused = await arklet.command(command, biz);
        assert.equal(refused.code, 'FAILED', command);
        assert.match(refused.message ?? '', /exist unfinished command\(installBiz\) for this biz/, command);
      }
      answer.end('ready');
      assert.equal((await finished(arklet, 'r-slow')).status, 'SUCCEEDED');
      assert.deepEqual(await arklet.installed(), ['slow:1 ACTIVATED']);
    } finally {
      gate.closeAllConnections();
      gate.close();
    }
    await arklet.command('uninstallBiz', biz);
  });

  test('a batch is installed from a list or a directory, each with an answer of its own', async () => {
    const good = file('good.ts', says('good'));
    const list = await arklet.command<BatchResponse>('batchInstallBiz', {
      bizList: [
        { bizName: 'b-one', bizVersion: '1', bizUrl: good },
        { bizName: 'b-two', bizVersion: '1', bizUrl: `http://${storeHost}/absent.zip` },
      ],
    });
    assert.equal(list.code, 'FAILED');
    assert.equal(list.data.bizUrlToResponse[good]?.code, 'SUCCESS');
    assert.match(list.data.bizUrlToResponse[`http://${storeHost}/absent.zip`]?.message ?? '', /answered 404/);

    mkdirSync(join(modules, 'batch/team'), { recursive: true });
    const urls = [
      file('batch/team/b-three-1.2.0.zip', zipOf([{ path: 'index.ts', text: says('three') }])),
      file(
        'batch/b-four.jar',
        jarOf({ 'Ark-Biz-Name': 'b-four', 'Ark-Biz-Version': '4' }, { 'index.ts': says('four') }),
      ),
    ];
    file('batch/library.jar', jarOf({}, { 'a.class': '' }));
    file('batch/notes.txt', 'not a module');
    const all = await arklet.command<BatchResponse>('batchInstallBiz', { bizDirAbsolutePath: join(modules, 'batch') });
    assert.equal(all.code, 'SUCCESS', JSON.stringify(all));
    assert.equal(all.data.message, 'batch install success; 1 archives that name no biz were left alone');
    assert.deepEqual(Object.keys(all.data.bizUrlToResponse).sort(), urls.sort());
    assert.deepEqual(await arklet.installed(), ['b-four:4 ACTIVATED', 'b-one:1 ACTIVATED', 'b-three:1.2.0 ACTIVATED']);
    assert.equal(await text('/b-three'), 'three');

    for (const [body, why] of [
      [{}, /either bizList or bizDirAbsolutePath/],
      [{ bizList: [], bizDirAbsolutePath: modules }, /either bizList or bizDirAbsolutePath/],
      [{ bizDirAbsolutePath: '/etc' }, /HEARTH_ARKLET_SOURCES/],
      [{ bizList: [{ bizName: 'x' }] }, /bizUrl should not be blank/],
    ] as const) {
      const answer = await arklet.command('batchInstallBiz', body);
      assert.equal(answer.code, 'FAILED');
      assert.match(answer.message ?? '', why);
    }
    for (const biz of await arklet.installed()) {
      const [bizName, bizVersion] = biz.split(/[: ]/);
      await arklet.command('uninstallBiz', { bizName, bizVersion });
    }
  });

  test('health tells of the gateway, its hosts and what is installed', async () => {
    await arklet.command('installBiz', { bizName: 'well', bizVersion: '1', bizUrl: file('well.ts', says('well')) });
    await text('/well');
    const { data } = await arklet.command<{ healthData: Record<string, Record<string, unknown>> }>('health');
    const { jvm = {}, cpu = {}, masterBizInfo = {}, hearth = {}, ...rest } = data.healthData;
    assert.equal(masterBizInfo.bizName, 'hearth');
    assert.equal(masterBizInfo.bizState, 'ACTIVATED');
    assert.deepEqual(rest.masterBizHealth, { readinessState: 'ACCEPTING_TRAFFIC' });
    assert.deepEqual(rest.bizListInfo, [
      masterBizInfo,
      { bizName: 'well', bizVersion: '1', bizState: 'ACTIVATED', webContextPath: 'well' },
    ]);
    for (const key of ['count', 'user used (%)', 'system used (%)', 'total used (%)', 'free (%)']) {
      assert.equal(typeof cpu[key], 'number', key);
    }
    // Whole numbers: Go reads them into integers.
    for (const key of ['loaded class count', 'java used metaspace', 'java committed metaspace', 'java max metaspace']) {
      assert.ok(Number.isInteger(jvm[key]), key);
    }
    assert.ok((jvm['java max metaspace'] as number) > (jvm['java used metaspace'] as number));
    assert.ok((jvm['loaded class count'] as number) >= 1);
    assert.ok((hearth.hosts as unknown as unknown[]).length >= 1);

    const system = await arklet.command<{ healthData: object }>('health', { type: 'system', metrics: ['cpu'] });
    assert.deepEqual(Object.keys(system.data.healthData), ['cpu']);
    const one = await arklet.command<{ healthData: object }>('health', {
      type: 'biz',
      bizName: 'well',
      bizVersion: '1',
    });
    assert.deepEqual(one.data.healthData, {
      bizInfo: { bizName: 'well', bizVersion: '1', bizState: 'ACTIVATED', webContextPath: 'well' },
    });
    assert.equal(
      (await arklet.command('health', { type: 'biz', bizName: 'nobody' })).message,
      'can not find biz: nobody',
    );
    assert.equal((await arklet.command('health', { type: 'other' })).code, 'FAILED');
    await arklet.command('uninstallBiz', { bizName: 'well', bizVersion: '1' });
  });
});

/** Asks until it has ended: each question is a command of its own. */
async function finished(arklet: ArkletGateway, requestId: string): Promise<ProcessRecord> {
  for (;;) {
    const { data } = await arklet.command<ProcessRecord>('queryBizOps', { requestId });
    if (data.status === 'SUCCEEDED' || data.status === 'FAILED') return data;
  }
}
