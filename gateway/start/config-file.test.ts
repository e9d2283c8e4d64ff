import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { resolveBases } from '../bases/resolve.ts';
import { ConfigError } from '../config.ts';
import { readConfigFile } from './config-file.ts';

describe('hearth.config.jsonc', () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hearth-config-'));
  });
  after(() => rm(directory, { recursive: true, force: true }));

  const write = (text: string) => writeFile(join(directory, 'hearth.config.jsonc'), text);

  async function refused(text: string): Promise<string> {
    await write(text);
    try {
      readConfigFile(null, directory);
    } catch (error) {
      assert.ok(error instanceof ConfigError, String(error));
      return error.message.replaceAll(directory, '');
    }
    throw new assert.AssertionError({ message: `${text} was taken` });
  }

  test('without it there is a base "default" that shares hono', async () => {
    await rm(join(directory, 'hearth.config.jsonc'), { force: true });
    const [base] = resolveBases(readConfigFile(null, directory), {});
    assert.equal(base?.name, 'default');
    assert.equal(base.setupPath, null);
    const [hono] = base.shared;
    assert.equal(hono?.specifier, 'hono');
    assert.equal(hono.library, 'hono');
    assert.match(hono.version, /^\d+\.\d+\.\d+/);
    assert.match(hono.path, /node_modules\/hono\/.*\.c?js$/);
    assert.ok(hono.bytes > 0);
  });

  test('a file that is named and not there is refused', () => {
    assert.throws(
      () => readConfigFile(join(directory, 'nowhere.jsonc'), directory),
      /HEARTH_CONFIG: .*nowhere\.jsonc cannot be read/,
    );
  });

  test('takes comments and trailing commas, and only the variables it names', async () => {
    await writeFile(join(directory, 'base.ts'), 'export default () => 1;');
    await write(`{
      // shared by all
      "bases": { "default": { "shared": ["zod"], "setup": "./base.ts", "env": ["DATABASE_URL", "ABSENT"], "warm": 3 } },
      "pools": { "batch": {}, "buffer": { "maxBases": 8, "memoryMb": 500, "warm": 4, "basesPerHost": 2, "placement": "spread" } },
    }`);
    const file = readConfigFile(null, directory);
    const [base] = resolveBases(file, { DATABASE_URL: 'postgres://x', HOME: '/root' });
    assert.deepEqual(base?.env, { DATABASE_URL: 'postgres://x' });
    assert.equal(base?.setupPath, join(directory, 'base.ts'));
    assert.deepEqual(
      base?.shared.map(({ library }) => library),
      ['zod'],
    );
    assert.equal(base?.warm, 3);
    assert.deepEqual(file.pools, {
      batch: {},
      buffer: { maxBases: 8, memoryMb: 500, warm: 4, basesPerHost: 2, placement: 'spread' },
    });
  });

  test('syntax errors have line and column', async () => {
    assert.equal(await refused('{\n  "bases" {}\n}'), '/hearth.config.jsonc:2:11: colon expected.');
    assert.match(await refused(''), /:1:1: /);
  });

  test('unknown keys and wrong values have line, column and path', async () => {
    assert.equal(
      await refused('{\n  "bases": {\n    "default": { "sharde": ["hono"] }\n  }\n}'),
      '/hearth.config.jsonc:3:18: bases.default.sharde: no such setting.',
    );
    assert.match(await refused('{ "bases": { "default": { "shared": "hono" } } }'), /:1:27: bases\.default\.shared: /);
    assert.match(await refused('{ "bases": { "default": { "warm": -1 } } }'), /:1:27: bases\.default\.warm: /);
    assert.match(await refused('{ "bases": { "My Base": {} } }'), /bases\.My Base: /);
    assert.match(await refused('[]'), /:1:1: the file: /);
    const pool = (settings: string) => refused(`{ "pools": { "batch": ${settings} } }`);
    assert.equal(await pool('{ "size": 3 }'), '/hearth.config.jsonc:1:25: pools.batch.size: no such setting.');
    assert.match(await pool('{ "maxBases": 0 }'), /:1:25: pools\.batch\.maxBases: /);
    assert.match(await pool('{ "memoryMb": "1 GB" }'), /pools\.batch\.memoryMb: /);
    assert.match(await pool('{ "placement": "tight" }'), /pools\.batch\.placement: .*spread.*pack/);
    assert.match(
      await pool('{ "maxBases": 2, "warm": 3 }'),
      /pools\.batch\.warm: more warm bases than maxBases allows/,
    );
    assert.match(await refused('{ "pools": { "My Pool": {} } }'), /pools\.My Pool: /);
  });

  test('a library that is installed nowhere is refused by name', async () => {
    await write('{ "bases": { "default": { "shared": ["no-such-library-here"] } } }');
    const file = readConfigFile(null, directory);
    assert.throws(() => resolveBases(file, {}), /bases\.default\.shared: "no-such-library-here" is installed neither/);
  });

  test('a setup module that is not there is refused', async () => {
    await write('{ "bases": { "default": { "setup": "./missing.ts" } } }');
    const file = readConfigFile(null, directory);
    assert.throws(() => resolveBases(file, {}), /bases\.default\.setup: there is no file .*missing\.ts/);
  });

  test('declarations that are not there, or do not say what the base is, are refused', async () => {
    await write('{ "bases": { "default": { "types": "./base.d.ts" } } }');
    const file = readConfigFile(null, directory);
    assert.throws(() => resolveBases(file, {}), /bases\.default\.types: .*base\.d\.ts cannot be read/);
    await writeFile(join(directory, 'base.d.ts'), 'export interface Database {}');
    assert.throws(() => resolveBases(file, {}), /base\.d\.ts does not `export interface Base`/);
    for (const types of ['export interface Base {}', 'interface X {}\nexport type { X as Base };']) {
      await writeFile(join(directory, 'base.d.ts'), types);
      assert.equal(resolveBases(file, {}).length, 1);
    }
  });
});
