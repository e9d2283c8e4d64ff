/** Each template of `hearth init` as its author gets it: it passes its own check, deploys, and does what it is for. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startGateway, type TestGateway } from '../../gateway/testing/gateway.ts';
import { TEMPLATES, type Template } from './templates.ts';
import { hearthOf } from './testing/hearth.ts';

const NODE_MODULES = fileURLToPath(new URL('../../node_modules', import.meta.url));

let directory: string;
let gateway: TestGateway;
let cli: ReturnType<typeof hearthOf>;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hearth-cli-templates-'));
  gateway = await startGateway();
  cli = hearthOf(gateway, { cwd: directory });
});

after(async () => {
  await gateway?.[Symbol.asyncDispose]();
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
});

/** What a user of it would see. */
const WORKS: Record<Template, (url: string) => Promise<void>> = {
  async typescript(url) {
    assert.deepEqual(await (await fetch(`${url}/?name=Ada`)).json(), { message: 'Hello, Ada!' });
    assert.equal((await fetch(`${url}/elsewhere`)).status, 404);
  },
  async hono(url) {
    assert.equal((await fetch(`${url}/notes/a`)).status, 404);
    assert.equal((await fetch(`${url}/notes/a`, { method: 'PUT', body: 'kept' })).status, 204);
    assert.equal(await (await fetch(`${url}/notes/a`)).text(), 'kept');
  },
  async cron(url) {
    assert.equal((await cli.run('invoke', 'my-cron', '--cron')).code, 0);
    const { runs, last } = (await (await fetch(url)).json()) as { runs: number; last: string };
    // A minute may have begun meanwhile.
    assert.ok(runs >= 1 && Date.parse(last) > 0, `${runs} runs, the last at ${last}`);
  },
  async queue(url) {
    const sent = await fetch(url, { method: 'POST', body: '{"text":"shout"}' });
    assert.equal(sent.status, 202);
    const { id } = (await sent.json()) as { id: string };
    const late = AbortSignal.timeout(30_000);
    for (;;) {
      const answer = await fetch(`${url}/${id}`);
      if (answer.ok) return assert.equal(await answer.text(), 'SHOUT');
      await wait(20, undefined, { signal: late });
    }
  },
  async express(url) {
    assert.match(await (await fetch(`${url}/`)).text(), /<h1>my-express<\/h1>/);
    const echoed = await fetch(`${url}/api/echo`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"a":1}',
    });
    assert.deepEqual(await echoed.json(), { a: 1 });
  },
};

for (const template of TEMPLATES) {
  test(`${template}: checks, deploys and works`, async () => {
    const made = await cli.run('init', template, `my-${template}`);
    assert.equal(made.code, 0, made.stderr);
    const project = join(directory, `my-${template}`);
    const manifest = await readFile(join(project, 'package.json'), 'utf8');
    assert.doesNotMatch(manifest, /"\*"|hearth-template/);
    assert.match(await readFile(join(project, '.gitignore'), 'utf8'), /node_modules/);

    // As after `npm install`.
    await symlink(NODE_MODULES, join(project, 'node_modules'));
    const { check } = (JSON.parse(manifest) as { scripts: { check: string } }).scripts;
    const PATH = [join(NODE_MODULES, '.bin'), dirname(process.execPath), process.env.PATH].join(delimiter);
    await promisify(execFile)('sh', ['-c', check], { cwd: project, env: { ...process.env, PATH } });

    const { url } = await cli.json<{ url: string }>('deploy', project);
    assert.equal(url, `${gateway.url}/my-${template}`);
    await WORKS[template](url);
  });
}

test('without a template it is TypeScript; what is there already stays, and what there is not is usage', async () => {
  const made = await cli.json<{ template: string; name: string }>('init', '--name', 'chosen');
  assert.deepEqual([made.template, made.name], ['typescript', 'chosen']);
  const again = await cli.run('init', 'typescript', '--name', 'chosen');
  assert.equal(again.code, 1);
  assert.match(again.stderr, /already has \.gitignore, .*, and nothing is overwritten/);
  const unknown = await cli.run('init', 'cobol', 'there');
  assert.equal(unknown.code, 2);
  assert.match(
    unknown.stderr,
    /There is no template "cobol"; there are typescript, hono, cron, queue, express, and module/,
  );
});
