import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseManifestValue } from '../contract/manifest-file.ts';
import { type Builder, createBuilder } from './client.ts';
import { run, treeOf } from './testing/trees.ts';

const manifest = parseManifestValue({}, 'test');
const inputOf = (files: Record<string, string | Uint8Array>) => ({ manifest, provided: [], files: treeOf(files) });

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
}

/** A process that has ended and was not yet collected by its parent does not run. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch (error) {
    assert.ok(['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? ''));
    return false;
  }
}

describe('the builder process', () => {
  let directory = '';
  let builder: Builder;
  const warnings: string[] = [];
  const log = {
    warn: (message: string) => void warnings.push(message),
    error: (message: string) => void warnings.push(message),
  };
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'hearth-builder-'));
    builder = createBuilder({ runDir: join(directory, 'run'), log });
  });
  after(async () => {
    await builder.close();
    rmSync(directory, { recursive: true });
  });

  it('builds, and gives the files beside the code with their bytes', async () => {
    const result = await builder.build(
      inputOf({ 'index.ts': 'export const a: number = 1', 'public/x.bin': Uint8Array.of(0, 255) }),
    );
    assert.equal(run(result).a, 1);
    assert.deepEqual(
      result.files.map(({ path, bytes }) => [path, [...bytes]]),
      [['public/x.bin', [0, 255]]],
    );
    assert.deepEqual(JSON.parse(Buffer.from(result.sourceMap!).toString()).sources, ['index.ts']);
    assert.equal(result.sizeBytes, result.code.byteLength + 2);
  });

  it('answers fifty builds asked for at once, each with its own', async () => {
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, i) => builder.build(inputOf({ 'index.ts': `export const n: number = ${i}` }))),
    );
    assert.deepEqual(
      results.map((result) => run(result).n),
      Array.from({ length: 50 }, (_, i) => i),
    );
  });

  it('keeps good and bad builds apart', async () => {
    const settled = await Promise.allSettled(
      Array.from({ length: 10 }, (_, i) =>
        builder.build(inputOf({ 'index.ts': i % 2 === 0 ? 'export {}' : 'export {' })),
      ),
    );
    assert.deepEqual(
      settled.map(({ status }) => status),
      Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? 'fulfilled' : 'rejected')),
    );
    const refused = settled[1] as PromiseRejectedResult;
    assert.equal(refused.reason.code, 'BUILD_FAILED');
    assert.deepEqual(
      [refused.reason.errors[0].file, refused.reason.errors[0].line, refused.reason.errors[0].column],
      ['index.ts', 1, 9],
    );
  });

  it('takes trees of many megabytes', async () => {
    const blob = Buffer.alloc(8 * 1024 * 1024, 7);
    const result = await builder.build(
      inputOf({ 'index.js': 'exports.a = 1', 'a.dat': blob, 'b.dat': blob, 'empty.dat': '' }),
    );
    assert.deepEqual(
      result.files.map(({ path, bytes }) => [path, bytes.byteLength]),
      [
        ['a.dat', blob.byteLength],
        ['b.dat', blob.byteLength],
        ['empty.dat', 0],
      ],
    );
  });

  it('is whole again after esbuild alone has ended', async () => {
    const children = childrenOf(builder.pid!);
    assert.equal(children.length, 1);
    process.kill(children[0]!, 'SIGKILL');
    const results = await Promise.all(
      [1, 2, 3].map((n) => builder.build(inputOf({ 'index.ts': `export const n = ${n}` }))),
    );
    assert.deepEqual(
      results.map((result) => run(result).n),
      [1, 2, 3],
    );
  });

  it('has an empty environment', () => {
    assert.equal(readFileSync(`/proc/${builder.pid}/environ`, 'utf8'), '');
  });

  it('is started again when it dies, and what it was building is built all the same', async () => {
    const pid = builder.pid;
    assert.ok(pid !== undefined);
    const [esbuild = 0] = childrenOf(pid);
    const building = Array.from({ length: 10 }, (_, i) =>
      builder.build(inputOf({ 'index.ts': `export const n = ${i}` })),
    );
    process.kill(pid, 'SIGKILL');
    const results = await Promise.all(building);
    assert.deepEqual(
      results.map((result) => run(result).n),
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    assert.notEqual(builder.pid, pid);
    assert.equal(isRunning(esbuild), false);
    assert.match(warnings.join('\n'), /ended and is started again/);
  });
});

describe('a build over which the builder ends', () => {
  it('is tried once more, then refused, and the next one is built', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'hearth-builder-'));
    let kills = 1;
    // Called when the process has ended, just before the next one is started.
    const killNext = () => {
      if (kills-- > 0) process.nextTick(() => process.kill(builder.pid!, 'SIGKILL'));
    };
    const builder = createBuilder({ runDir: directory, log: { warn: killNext, error: assert.fail } });
    try {
      const building = builder.build(inputOf({ 'index.js': 'exports.n = 1' }));
      process.kill(builder.pid!, 'SIGKILL');
      await assert.rejects(building, { code: 'BUILD_FAILED', message: /ended twice over this deploy/ });
      assert.equal(run(await builder.build(inputOf({ 'index.js': 'exports.n = 2' }))).n, 2);
    } finally {
      await builder.close();
      rmSync(directory, { recursive: true });
    }
  });
});

describe('a builder whose gateway is killed', () => {
  it('ends, and esbuild with it', { timeout: 20_000 }, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'hearth-builder-'));
    const script = `
      import { createBuilder } from ${JSON.stringify(new URL('client.ts', import.meta.url).href)};
      import { parseManifestValue } from ${JSON.stringify(new URL('../contract/manifest-file.ts', import.meta.url).href)};
      const builder = createBuilder({ runDir: ${JSON.stringify(directory)}, log: console });
      const files = new Map([['index.js', Buffer.from('')]]);
      await builder.build({ manifest: parseManifestValue({}), provided: [], files });
      console.log(builder.pid);
    `;
    const gateway = spawn(process.execPath, ['--input-type=module-typescript', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const [line] = await once(gateway.stdout, 'data');
      const pid = Number(String(line));
      const all = [pid, ...childrenOf(pid)];
      assert.ok(all.length === 2 && all.every(isRunning));
      gateway.kill('SIGKILL');
      // What is waited for is the end itself; the test's own limit bounds it.
      while (all.some(isRunning)) await new Promise((resolve) => setImmediate(resolve));
    } finally {
      gateway.kill('SIGKILL');
      rmSync(directory, { recursive: true });
    }
  });
});

describe('a builder that is closed', () => {
  it('refuses what is waiting and what comes, and leaves no process', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'hearth-builder-'));
    try {
      const builder = createBuilder({ runDir: directory, log: { warn: assert.fail, error: assert.fail } });
      const pid = builder.pid!;
      const building = Array.from({ length: 6 }, () => builder.build(inputOf({ 'index.ts': '' })));
      const settled = Promise.allSettled(building);
      await Promise.all([builder.close(), builder.close()]);
      for (const result of await settled) assert.equal((result as PromiseRejectedResult).reason.code, 'NO_CAPACITY');
      await assert.rejects(builder.build(inputOf({ 'index.ts': '' })), { code: 'NO_CAPACITY' });
      assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('a build that takes too long', () => {
  it('is ended with a sentence', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'hearth-builder-'));
    const builder = createBuilder({
      runDir: directory,
      log: { warn: () => undefined, error: assert.fail },
      limitMs: 1,
    });
    try {
      await assert.rejects(builder.build(inputOf({ 'index.ts': 'export const a = 1' })), {
        code: 'BUILD_FAILED',
        message: /longer than 0\.001 s/,
      });
    } finally {
      await builder.close();
      rmSync(directory, { recursive: true });
    }
  });
});

it('is renewed between two builds, and none of them notices', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'hearth-builder-'));
  const builder = createBuilder({ runDir: directory, log: { warn: assert.fail, error: assert.fail }, renewAfter: 3 });
  t.after(async () => {
    await builder.close();
    rmSync(directory, { recursive: true });
  });
  const pids = new Set<number | undefined>();
  for (let n = 0; n < 8; n++) {
    pids.add(builder.pid);
    assert.equal(run(await builder.build(inputOf({ 'index.ts': `export const n: number = ${n}` }))).n, n);
  }
  assert.equal(pids.size, 3);
});
