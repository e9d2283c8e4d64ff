/** Backup, restore and upgrade of the embedded store, on real gateways. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { spawnGateway, startGateway, type TestGateway } from '../gateway/testing/gateway.ts';

const dir = mkdtempSync(join(tmpdir(), 'hearth-backup-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const COPY = join(dir, 'copy');
const DATA = join(dir, 'data');

const backUp = (...args: string[]) =>
  promisify(execFile)(process.execPath, [join(import.meta.dirname, 'backup.ts'), ...args]);

const TELLS = `export default {
  async fetch(request, env) {
    if (request.method === 'PUT') await env.NOTES.put('note', await request.text());
    return Response.json({ key: env.KEY, note: await env.NOTES.get('note') });
  },
};`;

test('a copy that is made under load holds all that was accepted before it, and Hearth starts on it', async () => {
  mkdirSync(DATA);
  await using gateway = await startGateway({ dataDir: DATA });
  await gateway.deploy('tells', TELLS, { manifest: { kv_namespaces: [{ binding: 'NOTES', id: 'notes' }] } });
  await gateway.api('PUT', '/v1/functions/tells/secrets/KEY', { value: 's3cret' });
  await fetch(`${gateway.url}/tells`, { method: 'PUT', body: 'of the day' });

  const accepted: string[] = [];
  let going = true;
  const load = Promise.all(
    Array.from({ length: 4 }, async (_, worker) => {
      for (let n = 0; going; n++) {
        const ids = Array.from({ length: 5 }, (_, i) => `m-${worker}-${n}-${i}`);
        const messages = ids.map((id) => ({ id, body: id }));
        const { status } = await gateway.api('POST', '/v1/queues/kept/messages', { messages });
        assert.equal(status, 202);
        accepted.push(...ids);
      }
    }),
  );
  let before: string[];
  try {
    await until(() => accepted.length >= 100);
    before = [...accepted];
    const { stdout } = await backUp(DATA, COPY);
    assert.match(stdout, /^Copied to /);
  } finally {
    going = false;
    await load;
  }
  assert.deepEqual(readdirSync(COPY).sort(), ['admin-token', 'hearth.sqlite', 'secret-key']);
  assert.equal(statSync(COPY).mode & 0o77, 0);
  for (const file of readdirSync(COPY)) assert.equal(statSync(join(COPY, file)).mode & 0o77, 0, file);

  await using restored = await startGateway({ dataDir: copied('restored') });
  assert.equal(restored.token, gateway.token);
  const answer = await fetch(`${restored.url}/tells`);
  assert.deepEqual(await answer.json(), { key: 's3cret', note: 'of the day' });
  // An id is taken once: what is a duplicate was there.
  for (let i = 0; i < before.length; i += 100) {
    const ids = before.slice(i, i + 100);
    const again = await restored.api<{ duplicates: string[] }>('POST', '/v1/queues/kept/messages', {
      messages: ids.map((id) => ({ id, body: id })),
    });
    assert.deepEqual(again.body.duplicates, ids);
  }
  const { body } = await restored.api<{ depth: number }>('GET', '/v1/queues/kept');
  assert.ok(body.depth >= before.length && body.depth <= accepted.length, `${body.depth} of ${accepted.length}`);
  await goesOn(restored);
});

test('a copy is not made over something, nor of something else, and leaves nothing half done', async () => {
  await assert.rejects(backUp(DATA, COPY), /is there already/);
  await assert.rejects(backUp(join(dir, 'nothing'), join(dir, 'elsewhere')), /is no data directory of Hearth/);
  await assert.rejects(backUp(DATA), /Usage: /);
  const broken = copied('broken');
  const file = new DatabaseSync(join(broken, 'hearth.sqlite'));
  file.close();
  rmSync(join(broken, 'hearth.sqlite'));
  mkdirSync(join(broken, 'hearth.sqlite'));
  await assert.rejects(backUp(broken, join(dir, 'elsewhere')), /backup: /);
  assert.ok(!existsSync(join(dir, 'elsewhere')) && !existsSync(join(dir, 'elsewhere.partial')));
});

test('an older Hearth does not start on the data of a newer one, and leaves it as it was', async () => {
  const newer = copied('newer');
  const path = join(newer, 'hearth.sqlite');
  const version = (change: number) => {
    const database = new DatabaseSync(path);
    try {
      const row = database.prepare('PRAGMA user_version').get() as { user_version: number };
      if (change !== 0) database.exec(`PRAGMA user_version = ${row.user_version + change}`);
      return row.user_version + change;
    } finally {
      database.close();
    }
  };
  const raised = version(1);
  const { exited, output } = spawnGateway({ dataDir: newer });
  assert.equal(await exited, 1);
  assert.match(output(), /newer/);
  assert.equal(version(0), raised);
  // And back on the version that it is of.
  version(-1);
  await using gateway = await startGateway({ dataDir: newer });
  assert.deepEqual(await (await fetch(`${gateway.url}/tells`)).json(), { key: 's3cret', note: 'of the day' });
});

/** A data directory of its own, as an operator makes it from a copy. */
function copied(name: string): string {
  const to = join(dir, name);
  cpSync(COPY, to, { recursive: true });
  return to;
}

async function goesOn(gateway: TestGateway): Promise<void> {
  await gateway.deploy('after', 'export default { fetch: () => new Response("after") }');
  assert.equal(await (await fetch(`${gateway.url}/after`)).text(), 'after');
}

async function until(holds: () => boolean): Promise<void> {
  const limit = AbortSignal.timeout(60_000);
  while (!holds()) {
    limit.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
