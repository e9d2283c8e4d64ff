import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { declarationsOf, merge } from './declarations.ts';

const ROOT = join(import.meta.dirname, '../..');
const HONO = [{ as: 'hono', from: 'hono' }];

const uploaded = (files: Record<string, string>, main = 'base.ts') =>
  declarationsOf(
    { kind: 'source', main, files: new Map(Object.entries(files).map(([path, text]) => [path, Buffer.from(text)])) },
    { directory: ROOT, shared: HONO },
  );

/** What the compiler says of a module that uses these declarations; empty: nothing. */
async function complaints(declarations: string, use: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'hearth-use-'));
  try {
    await writeFile(join(directory, 'base.d.ts'), declarations);
    await writeFile(join(directory, 'use.ts'), use);
    const args = [
      '--strict',
      '--noEmit',
      '--target',
      'esnext',
      '--module',
      'preserve',
      '--types',
      '',
      '--pretty',
      'false',
      'use.ts',
    ];
    return await new Promise((resolve) => {
      const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
      execFile(process.execPath, [tsc, ...args], { cwd: directory }, (_error, output) => resolve(output));
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

test('a setup of one file: Base is what it resolves with', async () => {
  const text = await uploaded({
    'base.ts': `let n = 0;
export default async ({ env }: { env: Record<string, string> }) => ({ url: env.URL, count: (by: number) => (n += by) });`,
  });
  assert.ok(text);
  assert.match(text, /export type Base = Made<typeof _default>;/);
  assert.equal(
    await complaints(
      text,
      `import type { Base } from './base.d.ts'; export const f = (b: Base): number => b.count(1);`,
    ),
    '',
  );
  const wrong = await complaints(
    text,
    `import type { Base } from './base.d.ts'; export const f = (b: Base) => b.count('one');`,
  );
  assert.match(wrong, /use\.ts.*'string' is not assignable to parameter of type 'number'/);
});

test('what it imports from its neighbours comes along, also by another name and twice over', async () => {
  const text = await uploaded(
    {
      'src/base.ts': `import { Pool as Connections } from './db/pool.ts';
import type { Env } from './env.ts';
export default function setup({ env }: { env: Env }) { return { pool: new Connections(env), make: (): Connections => new Connections(env) }; }`,
      'src/db/pool.ts': `import type { Env } from '../env.ts';
export class Pool { readonly env: Env; constructor(env: Env) { this.env = env; } query<T>(sql: string): Promise<T[]> { return Promise.reject(new Error(sql)); } }`,
      'src/env.ts': 'export interface Env { URL: string }',
    },
    'src/base.ts',
  );
  assert.ok(text);
  const use = (what: string) =>
    `import type { Base } from './base.d.ts'; export const f = async (b: Base) => { const [row] = await b.pool.query<{ id: number }>('select'); const url: string = b.make().env.URL; return [url, ${what}]; };`;
  assert.equal(await complaints(text, use('row?.id')), '');
  assert.match(await complaints(text, use('row?.name')), /'name' does not exist/);
});

test('JavaScript, an object instead of a function, and a Base that the setup itself exports', async () => {
  const js = await uploaded(
    { 'setup.js': 'module.exports = () => ({ tag: "x", twice: (n = 1) => n * 2 });' },
    'setup.js',
  );
  assert.ok(js);
  assert.equal(
    await complaints(
      js,
      `import type { Base } from './base.d.ts'; export const f = (b: Base): number => b.twice(b.tag.length);`,
    ),
    '',
  );
  const object = await uploaded({ 'base.ts': 'export default { version: 2 };' });
  assert.ok(object);
  assert.equal(
    await complaints(
      object,
      `import type { Base } from './base.d.ts'; export const f = (b: Base): number => b.version;`,
    ),
    '',
  );
  const own = await uploaded({
    'base.ts': 'export interface Base { tag: string }\nexport default (): Base => ({ tag: "" });',
  });
  assert.equal(own?.match(/Base\b.*\{/g)?.length, 1);
});

test('types of shared libraries stay imports of those', async () => {
  const text = await uploaded({
    'base.ts': `import { Hono } from 'hono';\nexport default () => ({ app: new Hono() });`,
  });
  assert.match(text ?? '', /from 'hono'/);
});

test('what cannot be told in one file, or is no setup at all, is not told', async () => {
  assert.equal(await uploaded({ 'base.ts': 'export const nothing = 1;' }), null);
  assert.equal(await uploaded({ 'base.ts': 'export default () => (' }, 'other.ts'), null);
  const files = new Map([
    ['base', `export * from './more.ts';\nexport default _default;\ndeclare const _default: 1;`],
    ['more', 'export declare const more: 1;'],
  ]);
  assert.equal(merge(files, 'base'), null);
  const outside = new Map([['base', `import { a } from '../outside.ts';\nexport default a;`]]);
  assert.equal(merge(outside, 'base'), null);
});
