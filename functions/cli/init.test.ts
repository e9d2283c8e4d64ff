/** `hearth init module` and `hearth types` against a real gateway, whose base has a setup, types and a library. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startGateway, type TestGateway } from '../../gateway/testing/gateway.ts';
import { hearthOf } from './testing/hearth.ts';

const NODE_MODULES = fileURLToPath(new URL('../../node_modules', import.meta.url));
const TSC = join(NODE_MODULES, 'typescript/bin/tsc');

const CONFIG = `{ "bases": {
  "shop": { "shared": ["zod", "hono"], "setup": "./base.ts", "types": "./base.d.ts" },
  "plain": { "shared": [] },
} }`;

let directory: string;
let gateway: TestGateway;
let cli: ReturnType<typeof hearthOf>;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hearth-cli-init-'));
  await writeFile(join(directory, 'hearth.config.jsonc'), CONFIG);
  await writeFile(join(directory, 'base.ts'), 'export default () => ({ price: (sku: string) => sku.length });');
  await writeFile(join(directory, 'base.d.ts'), 'export interface Base { price(sku: string): number }');
  gateway = await startGateway({ cwd: directory });
  cli = hearthOf(gateway, { cwd: directory });
});

after(async () => {
  await gateway?.[Symbol.asyncDispose]();
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
});

/** As after `npm install` there: the compiler, and the libraries whose versions its package.json names. */
async function installed(project: string): Promise<string> {
  await symlink(NODE_MODULES, join(project, 'node_modules'));
  return project;
}

/** What the compiler finds wrong, empty when nothing. */
async function typeErrors(project: string): Promise<string> {
  const run = promisify(execFile)(process.execPath, [TSC], { cwd: project });
  return await run.then(
    () => '',
    (error: { stdout: string; stderr: string }) => error.stdout + error.stderr,
  );
}

test('a new module type-checks and answers, with what its base made', async () => {
  const made = await cli.run('init', 'module', '--base', 'shop', 'Price_List');
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stdout, /price-list: a module on the base "shop"/);

  const project = await installed(join(directory, 'Price_List'));
  assert.equal(await typeErrors(project), '');
  const { devDependencies } = JSON.parse(await readFile(join(project, 'package.json'), 'utf8'));
  const shared = JSON.parse(await readFile(join(NODE_MODULES, 'zod/package.json'), 'utf8'));
  assert.equal(devDependencies.zod, shared.version);

  const deployed = await cli.json<{ url: string }>('deploy', 'Price_List');
  const answer = await fetch(deployed.url);
  assert.deepEqual(await answer.json(), { module: 'price-list', base: ['price'] });
});

test('env.BASE and what is shared have the types of the base', async () => {
  assert.equal((await cli.run('init', 'module', '--base', 'shop', '--name', 'typed', 'typed')).code, 0);
  const project = await installed(join(directory, 'typed'));
  const good = (body: string) => `import { z } from 'zod';
import type { BaseEnv } from './base.d.ts';
export default { fetch: (_request: Request, env: BaseEnv) => Response.json(${body}) };`;

  await writeFile(join(project, 'src/index.ts'), good('z.number().parse(env.BASE.price("tea"))'));
  assert.equal(await typeErrors(project), '');
  await writeFile(join(project, 'src/index.ts'), good('z.number().parse(env.BASE.prices("tea"))'));
  assert.match(await typeErrors(project), /src\/index\.ts\(3,.*'prices' does not exist on type 'Base'/);
});

test('on a base without a setup, too, it type-checks and answers', async () => {
  const told = await cli.json<{ files: string[]; shared: object }>('init', 'module', '--base', 'plain', 'bare');
  assert.deepEqual(told.shared, {});
  const project = await installed(join(directory, 'bare'));
  assert.deepEqual((await readdir(project)).sort(), [
    'hearth.jsonc',
    'node_modules',
    'package.json',
    'src',
    'tsconfig.json',
  ]);
  assert.equal(await typeErrors(project), '');
  const source = await readFile(join(project, 'src/index.ts'), 'utf8');
  const { url } = await gateway.deploy('bare', source, { manifest: { hearth: { base: 'plain' } } });
  assert.deepEqual(await (await fetch(`${url}/x`)).json(), { module: 'bare', path: '/x', bindings: [] });
});

test('nothing is overwritten, and nothing is written beside what is there', async () => {
  const project = join(directory, 'taken');
  await mkdir(join(project, 'src'), { recursive: true });
  await writeFile(join(project, 'src/index.ts'), 'mine');
  const refused = await cli.run('init', 'module', '--base', 'shop', 'taken');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /already has src\/index\.ts, and nothing is overwritten/);
  assert.equal(await readFile(join(project, 'src/index.ts'), 'utf8'), 'mine');
  assert.deepEqual(await readdir(project), ['src']);
});

test('a base that is not there is told with what to do, and no directory is made', async () => {
  const refused = await cli.run('init', 'module', '--base', 'nowhere', 'never');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /hearth init module: Not found \(NOT_FOUND\)\n {2}There is no base "nowhere"/);
  assert.equal((await readdir(directory)).includes('never'), false);
});

test('a base is asked for, and names are names: usage, 2', async () => {
  assert.equal((await cli.run('init', 'module', 'x')).code, 2);
  assert.equal((await cli.run('init', 'module', '--base', 'shop', '--name', 'Not A Name', 'x')).code, 2);
  assert.equal((await cli.run('init', 'module', '--base', 'shop', '123')).code, 2);
});

test('hearth types brings the declarations and the versions that the base has now, and no more than these', async () => {
  assert.equal((await cli.run('init', 'module', '--base', 'shop', 'follows')).code, 0);
  const project = join(directory, 'follows');
  const again = await cli.json<{ changed: boolean }>('types', 'follows');
  assert.deepEqual(again, { base: 'shop', changed: false, libraries: {} });

  const wanted = JSON.parse(await readFile(join(project, 'package.json'), 'utf8'));
  const edited = {
    ...wanted,
    dependencies: { hono: '1.0.0' },
    devDependencies: { ...wanted.devDependencies, zod: '1.0.0' },
  };
  await writeFile(join(project, 'package.json'), JSON.stringify(edited, null, 4));
  const changed = await gateway.api('PUT', '/v1/bases/shop', {
    types: 'export interface Base { price(sku: string): bigint }',
  });
  assert.equal(changed.status, 200);
  const { stdout } = await cli.run('types', 'follows');
  assert.equal(
    stdout,
    `src/base.d.ts: now that of the base "shop"\npackage.json: zod ${wanted.devDependencies.zod}; run npm install\n`,
  );
  assert.match(await readFile(join(project, 'src/base.d.ts'), 'utf8'), /price\(sku: string\): bigint/);
  const now = await readFile(join(project, 'package.json'), 'utf8');
  assert.equal(JSON.parse(now).devDependencies.zod, wanted.devDependencies.zod);
  assert.equal(JSON.parse(now).dependencies.hono, '1.0.0');
  assert.match(now, /^ {4}"name"/m);
});

test('hearth types leaves a file alone that its author wrote, and wants a module', async () => {
  const project = join(directory, 'own-types');
  assert.equal((await cli.run('init', 'module', '--base', 'shop', 'own-types')).code, 0);
  await writeFile(join(project, 'src/base.d.ts'), 'export type BaseEnv = never;');
  const refused = await cli.run('types', 'own-types');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /src\/base\.d\.ts was not made by Hearth, so it is left alone/);
  assert.equal(await readFile(join(project, 'src/base.d.ts'), 'utf8'), 'export type BaseEnv = never;');
  const none = await cli.run('types');
  assert.equal(none.code, 1);
  assert.match(none.stderr, /hearth\.jsonc cannot be read: ENOENT/);
});
