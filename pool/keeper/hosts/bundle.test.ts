import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { bundleBase, HOST_FLAGS } from './bundle.ts';

let directory = '';
let entry = '';

before(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), 'hearth-bundle-')));
  entry = await bundleBase(directory);
});
after(() => rm(directory, { recursive: true }));

/** What a thread of a process with these flags makes of the bundle. */
async function loaded(flags: string[]): Promise<unknown> {
  const inThread = `const base = require(${JSON.stringify(entry)});
    require('node:worker_threads').parentPort.postMessage([typeof base.default, base.cacheTaken]);`;
  const code = `new (require('node:worker_threads').Worker)(${JSON.stringify(inThread)}, { eval: true })
    .once('message', (said) => console.log(JSON.stringify(said)));`;
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, '-e', code]);
  return JSON.parse(stdout);
}

test("a thread under a host's flags takes the code cache of the base's bundle", async () => {
  assert.deepEqual(await loaded(HOST_FLAGS), ['function', true]);
});

test('the bundle loads without its cache where V8 does not take it', async () => {
  assert.deepEqual(await loaded([...HOST_FLAGS, '--no-opt']), ['function', false]);
});

test('the directory that bases may read holds the bundle alone', async () => {
  assert.deepEqual((await readdir(join(directory, 'base'))).sort(), [
    'base.cache',
    'base.cjs',
    'base.js',
    'make-cache.cjs',
  ]);
});
