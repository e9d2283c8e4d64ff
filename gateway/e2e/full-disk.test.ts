/** A disk that fills up under a running gateway, on a small file system of its own. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Problem } from '../../functions/contract/errors.ts';
import { startGateway } from '../testing/gateway.ts';
import { canMount } from '../testing/mounts.ts';

const CONSUMER = `
export default {
  async queue(batch, env) {
    for (const message of batch.messages) await env.SEEN.put(message.id, '');
  },
  async fetch(request, env) {
    const names = [];
    let page = { cursor: undefined, list_complete: false };
    while (!page.list_complete) {
      page = await env.SEEN.list({ cursor: page.cursor });
      names.push(...page.keys.map(({ name }) => name));
    }
    return Response.json(names);
  },
};`;
const MANIFEST = {
  queues: { consumers: [{ queue: 'jobs', max_batch_timeout: 0 }] },
  kv_namespaces: [{ binding: 'SEEN', id: 'seen' }],
};

const skip =
  process.platform === 'linux' && process.getuid?.() === 0 && canMount()
    ? false
    : 'needs root and mount(8) for a small tmpfs';

test('on a full disk what cannot be kept is refused, what was accepted is delivered, and calls go on', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'hearth-full-'));
  const disk = join(directory, 'disk');
  await mkdir(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'hearth-test', disk]);
  t.after(async () => {
    execFileSync('umount', [disk]);
    await rm(directory, { recursive: true, force: true });
  });
  const ballast = join(disk, 'ballast');
  await writeFile(ballast, new Uint8Array(32 * 2 ** 20));

  await using gateway = await startGateway({ dataDir: join(disk, 'data'), cwd: directory });
  await gateway.deploy('hello', 'export default { fetch: () => new Response("hello") }');

  // Nobody consumes the queue yet: what is accepted stays on the disk.
  const accepted: string[] = [];
  let sent = 0;
  // Several at once, so that it happens in the middle of a commit that serves more than one of them.
  const fill = async () => {
    for (;;) {
      assert.ok(sent < 1_000, 'the disk never became full');
      const id = `message-${sent++}`;
      const answer = await gateway.api('POST', '/v1/queues/jobs/messages', {
        messages: [{ id, body: 'x'.repeat(100_000) }],
      });
      if (answer.status !== 202) return answer;
      accepted.push(id);
    }
  };
  const refusals = await Promise.all(Array.from({ length: 8 }, fill));
  assert.ok(accepted.length > 20, `only ${accepted.length} were accepted`);
  for (const { status, headers, body } of refusals) {
    const problem = body as Problem;
    assert.deepEqual([status, problem.code], [503, 'NO_CAPACITY']);
    assert.ok(Number(headers.get('retry-after')) >= 1);
    assert.match(problem.detail, /disk of the data directory is full.*free some room/);
  }

  const deploy = await gateway.api('PUT', '/v1/functions/large', {
    files: { 'index.ts': CONSUMER, 'ballast.txt': 'x'.repeat(2 ** 20) },
  });
  assert.deepEqual([deploy.status, (deploy.body as Problem).code], [503, 'NO_CAPACITY']);
  assert.equal(await (await fetch(`${gateway.url}/hello`)).text(), 'hello');

  await rm(ballast);
  // It looks at the disk now and then.
  const worker = { manifest: { main: 'index.ts', ...MANIFEST }, files: { 'index.ts': CONSUMER } };
  while ((await gateway.api('PUT', '/v1/functions/worker', worker)).status === 503) await new Promise(setImmediate);
  const queue = async () => (await gateway.api<{ depth: number; inFlight: number }>('GET', '/v1/queues/jobs')).body;
  for (let left = await queue(); left.depth + left.inFlight > 0; left = await queue()) await new Promise(setImmediate);
  assert.deepEqual(await (await fetch(`${gateway.url}/worker`)).json(), accepted.toSorted());
  assert.equal(await gateway.stop(), 0);
});
