/** The public arkctl (infra/arkctl/build.sh) against Hearth, as its users run it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { jarOf } from './testing/archives.ts';
import { type ArkletGateway, startArklet } from './testing/arklet.ts';

const ROOT = join(import.meta.dirname, '../..');
const arkctl = findArkctl();
const SKIP = arkctl === null ? 'no arkctl: run infra/arkctl/build.sh (needs Go), or put arkctl on PATH' : false;

function findArkctl(): string | null {
  const directories = [join(ROOT, '.bin'), ...(process.env.PATH ?? '').split(delimiter)];
  for (const directory of directories) {
    const path = join(directory, 'arkctl');
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' && (error as NodeJS.ErrnoException).code !== 'ENOTDIR')
        throw error;
    }
  }
  return null;
}

describe('arkctl', { skip: SKIP, timeout: 60_000 }, () => {
  let home: string;
  before(() => {
    home = mkdtempSync(join(tmpdir(), 'hearth-arkctl-'));
  });
  after(() => rmSync(home, { recursive: true, force: true }));

  const started = (token: 'required' | 'off') =>
    startArklet({ env: { HEARTH_ARKLET_SOURCES: home, HEARTH_ARKLET_TOKEN: token } });

  /** What it printed; it says 0 also where it failed. */
  async function run(arklet: ArkletGateway, ...args: string[]): Promise<string> {
    const [command = '', ...rest] = args;
    const { port } = new URL(arklet.arkletUrl);
    const options = { env: { PATH: process.env.PATH, HOME: home, NO_COLOR: '1' }, timeout: 20_000 };
    const done = promisify(execFile)(arkctl!, [command, '--port', port, ...rest], options);
    return done.then(
      ({ stdout, stderr }) => stdout + stderr,
      (error: { stdout: string; stderr: string }) => error.stdout + error.stderr,
    );
  }

  const installedBy = (output: string) => {
    const json = /QueryAllBiz\s+(\{.*\})/.exec(output)?.[1];
    const { code, data } = JSON.parse(json ?? '{}') as { code: string; data: Record<string, string>[] };
    assert.equal(code, 'SUCCESS', output);
    return data.map(({ bizName, bizVersion, bizState }) => `${bizName}:${bizVersion} ${bizState}`);
  };

  test('status shows what is installed, with the token in its --host, and nothing without', async () => {
    await using arklet = await started('required');
    const { version } = await arklet.gateway.deploy('hi', 'export default { fetch: () => new Response("hi") };');
    const output = await run(arklet, 'status', '--host', `hearth:${arklet.gateway.token}@127.0.0.1`);
    assert.deepEqual(installedBy(output), [`hi:${version} ACTIVATED`]);
    assert.match(await run(arklet, 'status'), /failed with code 401/);
    assert.match(await run(arklet, 'status', '--host', 'hearth:wrong@127.0.0.1'), /failed with code 401/);
    assert.match(await run(arklet, 'undeploy', `hi:${version}`), /failed with code 401/);
  });

  test('deploy installs and replaces, undeploy removes, where no token is needed; functions need one all the same', async () => {
    await using arklet = await started('off');
    const jar = join(home, 'shop-ark-biz.jar');
    const pack = (answer: string) => {
      const source = `export default { fetch: () => new Response(${JSON.stringify(answer)}) };`;
      writeFileSync(jar, jarOf({ 'Ark-Biz-Name': 'shop', 'Ark-Biz-Version': '1.0.0' }, { 'index.ts': source }));
    };
    const asked = async () => (await fetch(`${arklet.gateway.url}/shop`)).text();

    pack('first');
    assert.match(await run(arklet, 'deploy', jar), /install biz success!/);
    assert.equal(await asked(), 'first');
    pack('second');
    assert.match(await run(arklet, 'deploy', jar), /install biz success!/);
    assert.equal(await asked(), 'second');
    assert.deepEqual(installedBy(await run(arklet, 'status')), ['shop:1.0.0 ACTIVATED']);

    // It reaches the port as arkctl does, and is told apart from it.
    await arklet.gateway.deploy(
      'intruder',
      `export default { async fetch(request) {
        const url = new URL(request.url).searchParams.get('url');
        const answer = await fetch(url, { method: 'POST', body: '{"bizName":"shop","bizVersion":"1.0.0"}' });
        return new Response(String(answer.status));
      } };`,
    );
    for (const command of ['queryAllBiz', 'uninstallBiz']) {
      const url = encodeURIComponent(`${arklet.arkletUrl}/${command}`);
      assert.equal(await (await fetch(`${arklet.gateway.url}/intruder?url=${url}`)).text(), '401');
    }
    assert.equal(await asked(), 'second');
    await arklet.gateway.api('DELETE', '/v1/functions/intruder');

    writeFileSync(
      jar,
      jarOf({ 'Ark-Biz-Name': 'bad', 'Ark-Biz-Version': '1.0.0' }, { 'index.ts': 'export default {' }),
    );
    assert.match(await run(arklet, 'deploy', jar), /install biz failed: .*\n.*Caused by: index\.ts:1:\d+/);
    assert.match(await run(arklet, 'undeploy', 'shop:1.0.0'), /uninstall shop:1\.0\.0 success/);
    assert.deepEqual(installedBy(await run(arklet, 'status')), []);
  });
});
