import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { gone } from '../../pool/keeper/testing/processes.ts';
import { type StartOptions, spawnGateway, startGateway } from '../testing/gateway.ts';

describe('a start that cannot succeed ends with one sentence', { timeout: 60_000 }, () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hearth-start-'));
  });
  after(() => rm(directory, { recursive: true, force: true }));

  /** The exit code and what was said; a gateway that starts all the same is ended. */
  async function refused(options: StartOptions): Promise<{ code: number | null; said: string }> {
    const { child, ready, exited, output } = spawnGateway({ dataDir: directory, cwd: directory, ...options });
    ready.then(
      () => child.kill('SIGKILL'),
      () => undefined,
    );
    const code = await exited;
    const said = output().trim();
    assert.ok(!said.includes('\n'), `more than one line: ${said}`);
    return { code, said };
  }

  test('a bad setting', async () => {
    const { code, said } = await refused({ env: { HEARTH_WARM_BASES: 'many' } });
    assert.equal(said, 'hearth: HEARTH_WARM_BASES: given "many", allowed is a whole number from 0 to 1000.');
    assert.equal(code, 2);
  });

  test('a bad OpenTelemetry setting', async () => {
    const { code, said } = await refused({ env: { OTEL_TRACES_SAMPLER: 'sometimes' } });
    assert.match(said, /^hearth: OTEL_TRACES_SAMPLER: given "sometimes"/);
    assert.equal(code, 2);
  });

  test('a config file with a mistake', async () => {
    const file = join(directory, 'bad.jsonc');
    await writeFile(file, '{ "basis": {} }');
    const { code, said } = await refused({ env: { HEARTH_CONFIG: file } });
    assert.equal(said, `hearth: ${file}:1:3: basis: no such setting.`);
    assert.equal(code, 2);
  });

  test('a port in use', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    try {
      await once(holder, 'listening');
      const port = String((holder.address() as AddressInfo).port);
      const traffic = await refused({ env: { HEARTH_PORT: port } });
      assert.match(traffic.said, new RegExp(`^hearth: Port ${port} on 127\\.0\\.0\\.1 is in use \\(HEARTH_PORT\\); `));
      assert.equal(traffic.code, 1);
      const control = await refused({ env: { HEARTH_ADMIN_PORT: port } });
      assert.match(
        control.said,
        new RegExp(`^hearth: Port ${port} on 127\\.0\\.0\\.1 is in use \\(HEARTH_ADMIN_PORT\\); `),
      );
      assert.equal(control.code, 1);
    } finally {
      holder.close();
    }
  });

  test('an address this machine does not have', async () => {
    const { code, said } = await refused({ env: { HEARTH_HOST: '192.0.2.1' } });
    assert.match(said, /^hearth: 192\.0\.2\.1 is no address of this machine \(HEARTH_HOST\); /);
    assert.equal(code, 1);
  });

  test('a data directory that cannot be written', async () => {
    // A file in the way: root, whom permissions do not stop, is stopped by it as well.
    const file = join(directory, 'file');
    await writeFile(file, '');
    for (const path of [file, join(file, 'below')]) {
      const { code, said } = await refused({ dataDir: path, cwd: directory } as StartOptions);
      assert.match(said, /^hearth: The data directory .*file.* cannot be written \(\w+\); .*HEARTH_DATA_DIR/);
      assert.equal(code, 1);
    }
  });

  test('a database from a newer version, which is left as it was', async () => {
    const dataDir = await mkdtemp(join(directory, 'newer-'));
    await (await startGateway({ dataDir })).stop();
    const file = join(dataDir, 'hearth.sqlite');
    const database = new DatabaseSync(file);
    database.exec('PRAGMA user_version = 9999');
    database.close();
    const before = await readFile(file);

    const { code, said } = await refused({ dataDir });
    assert.match(said, /^hearth: The database .*hearth\.sqlite has schema version 9999 /);
    assert.equal(code, 1);
    assert.deepEqual(await readFile(file), before);
  });

  test('a second gateway on the same data directory', async () => {
    await using gateway = await startGateway();
    const { code, said } = await refused({ dataDir: gateway.dataDir });
    assert.match(said, new RegExp(`^hearth: Another gateway \\(process ${gateway.pid}\\) runs on `));
    assert.equal(code, 1);
    assert.equal((await gateway.api('GET', '/v1/functions')).status, 200, 'the first one goes on');
  });
});

describe('a gateway', { timeout: 60_000 }, () => {
  test('prints its flags and ends when asked for help', async () => {
    const { exited, output } = spawnGateway({ dataDir: tmpdir(), args: ['--help'] });
    assert.equal(await exited, 0);
    assert.match(output(), /--admin-port VALUE/);
  });

  test('makes its admin token at the first start, readable by its user alone, and keeps it', async () => {
    await using gateway = await startGateway();
    const path = join(gateway.dataDir, 'admin-token');
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.ok(gateway.token.length >= 32);
    await gateway.stop();
    await using again = await startGateway({ dataDir: gateway.dataDir });
    assert.equal(again.token, gateway.token);
  });

  test('deploys the examples on an empty data directory, and only there', async () => {
    await using gateway = await startGateway({ examples: true });
    assert.equal(await (await fetch(`${gateway.url}/hello?name=Ada`)).text(), 'Hello, Ada!\n');
    // An unmodified Express application, with the packages it needs.
    assert.equal((await fetch(`${gateway.url}/express-site/`)).status, 200);
    assert.ok(!gateway.output().includes('was not deployed'), gateway.output());
    assert.equal((await gateway.api('DELETE', '/v1/functions/hello')).status, 204);
    await gateway.stop();
    await using again = await startGateway({ examples: true, dataDir: gateway.dataDir });
    assert.equal((await fetch(`${again.url}/hello`)).status, 404, 'what was deleted stays so');
  });

  test('gives functions what the setup of their base returned, made from TypeScript and the variables it names', async () => {
    const cwd = await mkdtemp(join(tmpdir(), 'hearth-base-'));
    try {
      await writeFile(join(cwd, 'greeting.ts'), 'export const greeting: string = "Hello";');
      await writeFile(
        join(cwd, 'base.ts'),
        'import { greeting } from "./greeting.ts";\nexport default ({ env }: { env: Record<string, string> }) => ({ line: greeting + ", " + env.WHO + "!" });',
      );
      await writeFile(
        join(cwd, 'hearth.config.jsonc'),
        '{ "bases": { "default": { "shared": ["hono"], "setup": "./base.ts", "env": ["WHO"] } } }',
      );
      await using gateway = await startGateway({ cwd, env: { WHO: 'Ada' } });
      await gateway.deploy('greets', 'export default { fetch: (r, env) => new Response(env.BASE.line) }');
      assert.equal(await (await fetch(`${gateway.url}/greets`)).text(), 'Hello, Ada!');
    } finally {
      await rm(cwd, { recursive: true, force: true });
    }
  });

  test('answers health, readiness and metrics without a token', async () => {
    await using gateway = await startGateway();
    for (const [path, type] of [
      ['/healthz', 'application/json'],
      ['/readyz', 'application/json'],
      ['/metrics', 'text/plain'],
    ] as const) {
      const response = await fetch(`${gateway.adminUrl}${path}`);
      assert.equal(response.status, 200, path);
      assert.ok(response.headers.get('content-type')?.startsWith(type), path);
      assert.ok((await response.text()).length > 0);
    }
  });

  test('ends with 0 on SIGTERM once what runs has ended, and leaves no process behind', async () => {
    await using gateway = await startGateway();
    await gateway.deploy('slow', SLOW);
    const response = await fetch(`${gateway.url}/slow`);
    const reader = response.body!.getReader();
    await reader.read();
    const pool = await gateway.api<{ hosts: { pid: number }[] }>('GET', '/v1/pool');
    const pids = pool.body.hosts.map(({ pid }) => pid);
    assert.ok(pids.length > 0);

    const stopped = gateway.stop();
    // The stream goes on under the drain until its end.
    let text = '';
    for (let part = await reader.read(); !part.done; part = await reader.read()) text += Buffer.from(part.value);
    assert.equal(text, 'end');
    assert.equal(await stopped, 0, gateway.output());
    await gone(pids);
    assert.ok(!(await readdir(gateway.dataDir)).includes('run'), 'sockets and files of bases are gone');
  });

  test('ends at once on the second signal', async () => {
    await using gateway = await startGateway();
    await gateway.deploy('endless', ENDLESS);
    const response = await fetch(`${gateway.url}/endless`);
    const reader = response.body!.getReader();
    await reader.read();
    const first = gateway.stop();
    // Signals do not queue: two at once would be one.
    await gateway.said('SIGTERM: draining');
    process.kill(gateway.pid, 'SIGTERM');
    assert.equal(await first, 1);
    await assert.rejects(async () => {
      while (!(await reader.read()).done);
      throw new Error('the stream ended as if it were whole');
    }, TypeError);
  });
});

/** Says "begun", and "end" half a second later: long enough for a signal to come between. */
const SLOW = `export default {
  fetch() {
    return new Response(new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('begun'));
        setTimeout(() => {
          controller.enqueue(new TextEncoder().encode('end'));
          controller.close();
        }, 500);
      },
    }));
  },
};`;

const ENDLESS = `export default {
  fetch() {
    return new Response(new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('begun'));
      },
    }));
  },
};`;
