/** Who may ask arklet's port what, and what a request has to be, through the real gateway. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startGateway } from '../testing/gateway.ts';
import type { BizInfo, ClientResponse } from './protocol.ts';
import { zipOf } from './testing/archives.ts';
import { type ArkletGateway, startArklet } from './testing/arklet.ts';

const says = (text: string) => `export default { fetch: () => new Response(${JSON.stringify(text)}) };`;

describe("arklet's port", { timeout: 120_000 }, () => {
  let modules: string;
  let arklet: ArkletGateway;
  const file = (name: string, bytes: string | Buffer) => {
    writeFileSync(join(modules, name), bytes);
    return `file://${join(modules, name)}`;
  };

  before(async () => {
    modules = mkdtempSync(join(tmpdir(), 'hearth-modules-'));
    arklet = await startArklet({ env: { HEARTH_ARKLET_SOURCES: modules } });
  });
  after(async () => {
    await arklet?.[Symbol.asyncDispose]();
    rmSync(modules, { recursive: true, force: true });
  });

  test('no token, another one, or a browser gets nothing', async () => {
    const post = (headers: Record<string, string>, path = 'queryAllBiz', body = '{}') =>
      fetch(`${arklet.arkletUrl}/${path}`, { method: 'POST', headers, body });
    const none = await post({});
    assert.equal(none.status, 401);
    assert.equal(((await none.json()) as ClientResponse).code, 'FAILED');
    assert.equal((await post({ authorization: 'Bearer wrong' })).status, 401);
    assert.equal((await post({ authorization: `Basic ${btoa('hearth:wrong')}` })).status, 401);
    assert.equal((await post({ authorization: `Basic ${btoa(`hearth:${arklet.gateway.token}`)}` })).status, 200);
    const authorization = `Bearer ${arklet.gateway.token}`;
    for (const from of [{ origin: arklet.arkletUrl }, { origin: 'null' }]) {
      const answer = (await (await post({ authorization, ...from })).json()) as ClientResponse;
      assert.match(answer.message, /not for browsers/);
    }
  });

  test('a scoped token acts on its own functions, and sees only those', async () => {
    const token = async (grants: Record<string, unknown>) => {
      const { body } = await arklet.gateway.api<{ token: string }>('POST', '/v1/tokens', grants);
      return `Bearer ${body.token}`;
    };
    const mine = await token({ scopes: ['deploy:team-*'] });
    const bizUrl = file('team.ts', says('team'));
    assert.equal(
      (await arklet.command('installBiz', { bizName: 'team-a', bizVersion: '1', bizUrl }, mine)).code,
      'SUCCESS',
    );
    await arklet.command('installBiz', { bizName: 'theirs', bizVersion: '1', bizUrl });
    const others: [command: string, body: Record<string, unknown>][] = [
      ['installBiz', { bizName: 'theirs', bizVersion: '2', bizUrl }],
      ['uninstallBiz', { bizName: 'theirs', bizVersion: '1' }],
      ['switchBiz', { bizName: 'theirs', bizVersion: '1' }],
      ['health', {}],
    ];
    for (const [command, body] of others) {
      const { code, message } = await arklet.command(command, body, mine);
      assert.equal(code, 'FAILED', command);
      assert.match(message ?? '', /scope "(deploy:theirs|read)"/, command);
    }
    const seen = await arklet.command<BizInfo[]>('queryAllBiz', {}, mine);
    assert.deepEqual(
      seen.data.map(({ bizName }) => bizName),
      ['team-a'],
    );
    const claims = file(
      'claims.zip',
      zipOf([
        { path: 'index.ts', text: says('x') },
        { path: 'hearth.jsonc', text: '{ "hearth": { "trustGroup": "other" } }' },
      ]),
    );
    const claimed = await arklet.command('installBiz', { bizName: 'team-b', bizVersion: '1', bizUrl: claims }, mine);
    assert.match(claimed.message ?? '', /trust group "other"/);
    const reader = await token({ scopes: ['read'] });
    assert.equal((await arklet.command<BizInfo[]>('queryAllBiz', {}, reader)).data.length, 2);
    assert.equal((await arklet.command('uninstallBiz', { bizName: 'team-a', bizVersion: '1' }, reader)).code, 'FAILED');
    const none = await token({ scopes: ['invoke:team-a'] });
    assert.match((await arklet.command('queryAllBiz', {}, none)).message ?? '', /needs the scope/);
    assert.match((await arklet.command('batchInstallBiz', { bizList: [] }, none)).message ?? '', /needs the scope/);
    for (const bizName of ['team-a', 'theirs']) await arklet.command('uninstallBiz', { bizName, bizVersion: '1' });
  });

  test('what it changes stands in the audit, under whoever sent it', async () => {
    const { body: created } = await arklet.gateway.api<{ token: string; id: string }>('POST', '/v1/tokens', {
      scopes: ['deploy:audited'],
    });
    const token = `Bearer ${created.token}`;
    for (const bizVersion of ['1', '2']) {
      const bizUrl = file('audited.ts', says(bizVersion));
      await arklet.command('installBiz', { bizName: 'audited', bizVersion, bizUrl }, token);
    }
    await arklet.command('switchBiz', { bizName: 'audited', bizVersion: '2' }, token);
    for (const bizVersion of ['1', '2'])
      await arklet.command('uninstallBiz', { bizName: 'audited', bizVersion }, token);
    const { body } = await arklet.gateway.api<{ records: { actor: string; action: string; subject: string }[] }>(
      'GET',
      '/v1/audit',
    );
    const records = body.records.filter(({ subject }) => subject === 'audited');
    assert.deepEqual(
      records.map(({ action }) => action),
      ['function.delete', 'version.delete', 'traffic', 'deploy', 'deploy'],
    );
    assert.deepEqual([...new Set(records.map(({ actor }) => actor))], [created.id]);
  });

  test('what is no command, no JSON, too long or no POST is answered as such', async () => {
    const authorization = `Bearer ${arklet.gateway.token}`;
    const send = async (method: string, path: string, body?: string) => {
      const response = await fetch(`${arklet.arkletUrl}${path}`, {
        method,
        headers: { authorization },
        ...(body === undefined ? {} : { body }),
      });
      return [response.status, ((await response.json()) as ClientResponse).code] as const;
    };
    assert.deepEqual(await send('POST', '/formatDisk', '{}'), [200, 'CMD_NOT_FOUND']);
    assert.deepEqual(await send('POST', '/', '{}'), [200, 'CMD_NOT_FOUND']);
    assert.deepEqual(await send('GET', '/help'), [405, 'FAILED']);
    assert.deepEqual(await send('POST', '/help', '{'), [200, 'FAILED']);
    assert.deepEqual(await send('POST', '/help', '[1]'), [200, 'FAILED']);
    assert.deepEqual(await send('POST', '/help'), [200, 'SUCCESS']);
    assert.deepEqual(await send('POST', '/help?x=1', 'null'), [200, 'SUCCESS']);
    assert.deepEqual(await send('POST', '/installBiz', '{"__proto__":{"bizUrl":"file:///etc/passwd"}}'), [
      200,
      'FAILED',
    ]);

    // More than a megabyte, chunked: refused before all of it was sent.
    const { port } = new URL(arklet.arkletUrl);
    const socket = connect(Number(port), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(
      `POST /help HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\ntransfer-encoding: chunked\r\n\r\n`,
    );
    const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
    for (let i = 0; i < 20; i += 1) socket.write(chunk);
    const [head] = (await once(socket, 'data')) as [Buffer];
    assert.match(head.toString(), /^HTTP\/1\.1 200 .*The body may have 1 MB/s);
    socket.destroy();
  });
});

test('a port that is taken ends the start with a sentence that names the setting', { timeout: 60_000 }, async () => {
  const taken = createServer();
  taken.listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  try {
    await assert.rejects(
      startGateway({ env: { HEARTH_ARKLET_PORT: String(port) } }),
      new RegExp(`Port ${port} on 127\\.0\\.0\\.1 is in use \\(HEARTH_ARKLET_PORT\\)`),
    );
  } finally {
    taken.close();
  }
});
