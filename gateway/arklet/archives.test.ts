import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { HearthError } from '../../functions/contract/errors.ts';
import { openBundle } from './bundle.ts';
import { readTar, readTgz } from './tar.ts';
import { jarOf, paxRecord, tarOf, tgzOf, zipOf } from './testing/archives.ts';
import { type ArchiveFile, readZip } from './zip.ts';

const LIMITS = { mostBytes: 1024 * 1024, mostFiles: 100 };

const texts = (files: ArchiveFile[]) =>
  Object.fromEntries(files.map(({ path, bytes }) => [path, Buffer.from(bytes).toString()]));

function refuses(code: string, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof HearthError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
}

describe('zip archives', () => {
  test('hold stored and deflated files; directories are left out', async () => {
    const archive = zipOf([
      { path: 'src/', stored: true, mode: 0o040755 },
      { path: 'src/index.ts', text: 'export default 1;'.repeat(100) },
      { path: 'ü.txt', text: 'stored', stored: true },
      { path: 'empty', text: '' },
    ]);
    assert.deepEqual(texts(await readZip(archive, LIMITS)), {
      'src/index.ts': 'export default 1;'.repeat(100),
      'ü.txt': 'stored',
      empty: '',
    });
  });

  test('that are cut short, changed or something else are refused', async () => {
    const archive = zipOf([{ path: 'index.ts', text: 'export default 1;'.repeat(10) }]);
    await assert.rejects(readZip(archive.subarray(0, archive.length - 1), LIMITS), refuses('BAD_REQUEST', /cut short/));
    await assert.rejects(readZip(Buffer.alloc(10), LIMITS), refuses('BAD_REQUEST', /no zip archive/));
    await assert.rejects(readZip(Buffer.alloc(0), LIMITS), refuses('BAD_REQUEST', /no zip archive/));
    for (let at = 0; at < archive.length; at += 1) {
      const changed = Buffer.from(archive);
      changed[at] = (changed[at] ?? 0) ^ 0xff;
      // Some bytes mean nothing (times, versions): then what comes out is what went in.
      const outcome = await readZip(changed, LIMITS).then(
        (files) => files.map(({ bytes }) => Buffer.from(bytes).toString()),
        (error: unknown) => error,
      );
      if (outcome instanceof HearthError) assert.match(outcome.code, /^(BAD_REQUEST|PAYLOAD_TOO_LARGE)$/, `byte ${at}`);
      else if ((outcome as string[])[0] !== undefined)
        assert.deepEqual(outcome, ['export default 1;'.repeat(10)], `byte ${at}`);
    }
  });

  test('that claim less than they hold, or the wrong sum, are refused', async () => {
    const text = 'x'.repeat(5000);
    await assert.rejects(
      readZip(zipOf([{ path: 'a', text, claims: { bytes: 10 } }]), LIMITS),
      refuses('BAD_REQUEST', /damaged in "a"/),
    );
    await assert.rejects(
      readZip(zipOf([{ path: 'a', text, claims: { crc: 1 } }]), LIMITS),
      refuses('BAD_REQUEST', /damaged in "a"/),
    );
  });

  test('over the limits are refused before anything is unpacked', async () => {
    const big = zipOf([{ path: 'zeros', text: '\0'.repeat(2 * 1024 * 1024) }]);
    assert.ok(big.length < 10_000);
    await assert.rejects(readZip(big, LIMITS), refuses('PAYLOAD_TOO_LARGE', /HEARTH_MAX_DEPLOY_MB/));
    const many = zipOf(Array.from({ length: 101 }, (_, i) => ({ path: `f${i}`, text: '' })));
    await assert.rejects(readZip(many, LIMITS), refuses('BAD_REQUEST', /101 files; 100 are allowed/));
  });

  test('with links, encryption or other packings are refused by name', async () => {
    const link = zipOf([{ path: 'evil', text: '/etc/passwd', mode: 0o120777 }]);
    await assert.rejects(readZip(link, LIMITS), refuses('BAD_REQUEST', /link in it, "evil"/));
    const secret = zipOf([{ path: 'secret', text: 'x', encrypted: true }]);
    await assert.rejects(readZip(secret, LIMITS), refuses('BAD_REQUEST', /encrypted entry, "secret"/));
    const other = zipOf([{ path: 'x', text: 'x', claims: { method: 12 } }]);
    await assert.rejects(readZip(other, LIMITS), refuses('BAD_REQUEST', /by method 12/));
    const far = zipOf([{ path: 'x', text: 'x', claims: { bytes: 0xffffffff } }]);
    await assert.rejects(readZip(far, LIMITS), refuses('BAD_REQUEST', /zip64/));
  });
});

describe('tar archives', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'hearth-tar-'));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  test('are read as tar makes them, long names and all, in each of its formats', async () => {
    const deep = `${'d'.repeat(60)}/${'e'.repeat(60)}/ü-${'f'.repeat(60)}.ts`;
    mkdirSync(join(directory, 'tree', deep, '..'), { recursive: true });
    writeFileSync(join(directory, 'tree', deep), 'deep');
    writeFileSync(join(directory, 'tree/index.ts'), 'export default 1;');
    for (const format of ['gnu', 'pax', 'ustar']) {
      execFileSync('tar', ['czf', 'tree.tgz', `--format=${format}`, '-C', 'tree', '.'], { cwd: directory });
      const archive = execFileSync('cat', ['tree.tgz'], { cwd: directory });
      const files = texts(await readTgz(archive, LIMITS));
      assert.deepEqual(files, { './index.ts': 'export default 1;', [`./${deep}`]: 'deep' }, format);
    }
  });

  test('take a name from the entry before, and forget it after one file', () => {
    const long = 'n'.repeat(200);
    const files = texts(
      readTar(
        tarOf([
          { path: 'pax', kind: 'x', text: paxRecord('path', long) + paxRecord('mtime', '1') },
          { path: 'short', text: 'one' },
          { path: '././@LongLink', kind: 'L', text: `${long}2\0` },
          { path: 'short', text: 'two' },
          { path: 'plain', text: 'three' },
          { path: 'global', kind: 'g', text: paxRecord('comment', 'x') },
        ]),
        LIMITS,
      ),
    );
    assert.deepEqual(files, { [long]: 'one', [`${long}2`]: 'two', plain: 'three' });
  });

  test('with links and devices are refused by name', () => {
    for (const kind of ['1', '2']) {
      assert.throws(
        () => readTar(tarOf([{ path: 'evil', kind, link: '/etc/passwd' }]), LIMITS),
        refuses('BAD_REQUEST', /"evil"/),
      );
    }
    for (const kind of ['3', '4', '6', 'S']) {
      assert.throws(
        () => readTar(tarOf([{ path: 'dev', kind }]), LIMITS),
        refuses('BAD_REQUEST', /"dev", which is no file/),
      );
    }
  });

  test('that are damaged or over the limits are refused', async () => {
    const tar = tarOf([{ path: 'a', text: 'x'.repeat(600) }]);
    assert.throws(() => readTar(tar.subarray(0, 1024), LIMITS), refuses('BAD_REQUEST', /cut short/));
    const changed = Buffer.from(tar);
    changed[0] = 0x62;
    assert.throws(() => readTar(changed, LIMITS), refuses('BAD_REQUEST', /no tar archive/));
    await assert.rejects(readTgz(Buffer.from([0x1f, 0x8b, 1, 2]), LIMITS), refuses('BAD_REQUEST', /gzip archive/));
    await assert.rejects(
      readTgz(tgzOf([{ path: 'a', text: 'x' }]).subarray(0, 30), LIMITS),
      refuses('BAD_REQUEST', /gzip/),
    );
    await assert.rejects(
      readTgz(gzipSync(Buffer.alloc(9 * 1024 * 1024)), LIMITS),
      refuses('PAYLOAD_TOO_LARGE', /1 MB/),
    );
    const big = tgzOf([{ path: 'a', text: '\0'.repeat(1024 * 1024 + 1) }]);
    await assert.rejects(readTgz(big, LIMITS), refuses('PAYLOAD_TOO_LARGE', /1 MB/));
    const pax = tarOf([{ path: 'p', kind: 'x', text: '99 path=x\n' }]);
    assert.throws(() => readTar(pax, LIMITS), refuses('BAD_REQUEST', /pax/));
  });
});

describe('bundles', () => {
  const open = (bytes: Buffer, name: string) => openBundle(bytes, name, LIMITS.mostBytes);
  const files = async (bytes: Buffer, name: string) => texts((await open(bytes, name)).upload.files);

  test('are one source file, which becomes the main one', async () => {
    assert.deepEqual(await files(Buffer.from('code'), 'shop-1.2.0.tsx'), { 'index.tsx': 'code' });
    assert.deepEqual((await open(Buffer.from('code'), 'shop-1.2.0.ts')).identity, {
      bizName: 'shop',
      bizVersion: '1.2.0',
    });
    assert.equal((await open(Buffer.from('code'), 'index.js')).identity, null);
    await assert.rejects(open(Buffer.from('code'), 'shop.war'), refuses('BAD_REQUEST', /neither a \.zip/));
    await assert.rejects(open(Buffer.alloc(0), 'index.ts'), refuses('BAD_REQUEST', /empty/));
  });

  test('are archives by what they hold, whatever they are called', async () => {
    assert.deepEqual(await files(zipOf([{ path: 'index.ts', text: 'code' }]), 'artifact'), { 'index.ts': 'code' });
    assert.deepEqual(await files(tgzOf([{ path: './index.ts', text: 'code' }]), 'x.jar'), { 'index.ts': 'code' });
    await assert.rejects(open(zipOf([]), 'x.zip'), refuses('BAD_REQUEST', /holds no file/));
  });

  test('lose the one folder they hold, but not their src', async () => {
    const folder = [
      { path: 'package/index.ts', text: 'code' },
      { path: 'package/lib/a.ts', text: 'a' },
    ];
    assert.deepEqual(await files(tgzOf(folder), 'x.tgz'), { 'index.ts': 'code', 'lib/a.ts': 'a' });
    assert.deepEqual(await files(zipOf([{ path: 'src/index.ts', text: 'code' }]), 'x.zip'), { 'src/index.ts': 'code' });
    const two = [
      { path: 'a/x.ts', text: '' },
      { path: 'b/x.ts', text: '' },
    ];
    assert.deepEqual(Object.keys(await files(zipOf(two), 'x.zip')), ['a/x.ts', 'b/x.ts']);
  });

  test('say which biz they are: by the jar’s manifest, else package.json, else their name', async () => {
    const identity = async (bytes: Buffer, name: string) => {
      const { identity } = await open(bytes, name);
      return identity === null ? null : `${identity.bizName}:${identity.bizVersion}`;
    };
    const source = { 'index.ts': 'code', 'package.json': '{"name":"@team/cart","version":"2.0.0"}' };
    const attributes = { 'Ark-Biz-Name': 'shop', 'Ark-Biz-Version': '1.0.0-SNAPSHOT' };
    assert.equal(await identity(jarOf(attributes, source), 'x-9.jar'), 'shop:1.0.0-SNAPSHOT');
    assert.equal(await identity(jarOf({}, source), 'x-9.jar'), 'cart:2.0.0');
    assert.equal(await identity(zipOf([{ path: 'index.ts' }]), 'till-0.3.1-ark-biz.jar'), 'till:0.3.1');
    assert.equal(await identity(zipOf([{ path: 'index.ts' }]), 'till-0.3.1.tar.gz'), 'till:0.3.1');
    assert.equal(await identity(zipOf([{ path: 'package.json', text: 'no json' }]), 'till.zip'), null);
    assert.deepEqual(Object.keys(await files(jarOf(attributes, { 'index.ts': '' }), 'x.jar')), ['index.ts']);
  });

  test('have their order in a batch from the jar’s manifest, whose long lines are folded', async () => {
    const long = {
      'Ark-Biz-Name': 'shop',
      'Ark-Biz-Version': `1.0.0-${'x'.repeat(30)}\r\n ${'y'.repeat(30)}`,
      priority: '7',
    };
    const { identity, priority } = await open(jarOf(long, { 'index.ts': '' }), 'x.jar');
    assert.equal(identity?.bizVersion, `1.0.0-${'x'.repeat(30)}${'y'.repeat(30)}`);
    assert.equal(priority, 7);
    assert.equal((await open(jarOf({}, { 'index.ts': '' }), 'x.jar')).priority, 100);
    assert.equal((await open(jarOf({ priority: 'first' }, { 'index.ts': '' }), 'x.jar')).priority, 100);
  });
});
