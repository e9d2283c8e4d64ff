import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HearthError } from '../../../functions/contract/errors.ts';
import { manifestSchema } from '../../../functions/contract/manifest.ts';
import { openStore } from '../../triggers/testing/harness.ts';
import { createAssetContents, PART_BYTES } from './contents.ts';
import { createAssetIntake, MAX_ASSET_BYTES } from './intake.ts';
import { createAssetLibrary } from './library.ts';

const HOUR_MS = 60 * 60 * 1000;
const bytes = (length: number) => Uint8Array.from({ length }, (_, i) => i % 251);

async function open(t: TestContext) {
  const store = await openStore(t);
  const clock = { now: 1_000_000 };
  const contents = createAssetContents(store.kv, () => clock.now);
  return { store, clock, contents, intake: createAssetIntake(contents) };
}

test('a content is read in parts, or whole, and is there for its own function alone', async (t) => {
  const { contents } = await open(t);
  const given = bytes(PART_BYTES * 2 + 5);
  await contents.put('site', 'hash', given);
  assert.deepEqual(await contents.whole('site', 'hash'), Buffer.from(given));
  assert.deepEqual((await contents.part('site', 'hash', 2))?.byteLength, 5);
  assert.equal(await contents.part('site', 'hash', 3), null);
  assert.deepEqual([await contents.has('site', 'hash'), await contents.has('other', 'hash')], [true, false]);
  await contents.put('site', 'empty', new Uint8Array());
  assert.equal((await contents.whole('site', 'empty'))?.byteLength, 0);
});

test('what no version names is removed when it is an hour old, and nothing else', async (t) => {
  const { contents, clock } = await open(t);
  await contents.put('site', 'kept', bytes(10));
  await contents.put('site', 'old', bytes(PART_BYTES + 1));
  await contents.put('other', 'old', bytes(1));
  clock.now += 2 * HOUR_MS;
  await contents.put('site', 'new', bytes(1));
  await contents.keepOnly('site', new Set(['kept']), HOUR_MS);
  const there = async (name: string, hash: string) => [
    await contents.has(name, hash),
    (await contents.part(name, hash, 0)) !== null,
  ];
  assert.deepEqual(await there('site', 'old'), [false, false]);
  for (const [name, hash] of [
    ['site', 'kept'],
    ['site', 'new'],
    ['other', 'old'],
  ] as const) {
    assert.deepEqual(await there(name, hash), [true, true], `${name} ${hash}`);
  }
});

test('the assets of a tree are taken out of it, stored, and make the version', async (t) => {
  const { intake, contents } = await open(t);
  const manifest = manifestSchema.parse({ main: 'index.ts', assets: { directory: './public' } });
  const text = (value: string) => new TextEncoder().encode(value);
  const tree = (page: string) =>
    new Map([
      ['index.ts', text('code')],
      ['public/index.html', text(page)],
      ['public/a/b.txt', text('b')],
    ]);
  const first = await intake.take('site', manifest, tree('home'), undefined);
  assert.deepEqual([...first.code.keys()], ['index.ts']);
  assert.deepEqual([first.site?.files, first.site?.bytes, first.site?.alone], [2, 5, false]);
  const second = await intake.take('site', manifest, tree('other'), undefined);
  assert.notEqual(second.site?.listing, first.site?.listing);
  assert.equal((await intake.take('site', manifest, tree('home'), undefined)).site?.listing, first.site?.listing);
  const listing = await createAssetLibrary(contents).listing('site', first.site!.listing);
  assert.deepEqual([...listing.keys()], ['/a/b.txt', '/index.html']);
});

test('assets that cannot be served as their author means them are refused by name', async (t) => {
  const { intake } = await open(t);
  const take = (files: Record<string, Uint8Array>, assets: object = { directory: 'public' }) =>
    intake.take('site', manifestSchema.parse({ assets }), new Map(Object.entries(files)), undefined);
  for (const [files, code, says] of [
    [{ 'public/_headers': bytes(1) }, 'MANIFEST_INVALID', /_headers/],
    [{ 'public/_redirects': bytes(1) }, 'MANIFEST_INVALID', /_redirects/],
    [{ 'public/.assetsignore': bytes(1) }, 'MANIFEST_INVALID', /\.assetsignore/],
    [{ 'public/_worker.js': bytes(1) }, 'MANIFEST_INVALID', /_worker\.js/],
    [{ 'elsewhere/a.txt': bytes(1) }, 'MANIFEST_INVALID', /no file in public/],
    [{ 'public/big': new Uint8Array(MAX_ASSET_BYTES + 1) }, 'PAYLOAD_TOO_LARGE', /25 MB/],
  ] as const) {
    await assert.rejects(take(files), (error) => {
      assert.ok(error instanceof HearthError && error.code === code && says.test(error.message), String(error));
      return true;
    });
  }
  await assert.rejects(take({ 'public/a': bytes(1) }, {}), /Say where the assets are/);
  const missing = new Map([['/a.txt', { hash: '0'.repeat(32), bytes: 1 }]]);
  const manifest = manifestSchema.parse({ assets: {} });
  await assert.rejects(intake.take('site', manifest, new Map(), missing), /not there/);
  const hostile = new Map([['/../a.txt', { hash: '0'.repeat(32), bytes: 1 }]]);
  await assert.rejects(intake.take('site', manifest, new Map(), hostile), /"\.\."/);
});

test('what is in memory is bounded, and one reader of a file is enough for all', async (t) => {
  const { contents } = await open(t);
  let reads = 0;
  const whole = (name: string, hash: string) => {
    reads++;
    return contents.whole(name, hash);
  };
  const counting = { ...contents, whole };
  const library = createAssetLibrary(counting, 1000);
  for (const hash of ['a', 'b', 'c']) await contents.put('site', hash, bytes(400));
  const asset = (hash: string) => ({ hash, bytes: 400 });
  await Promise.all([library.small('site', asset('a')), library.small('site', asset('a'))]);
  assert.equal(reads, 1);
  assert.ok(!(library.small('site', asset('a')) instanceof Promise));
  await library.small('site', asset('b'));
  await library.small('site', asset('c'));
  assert.ok(library.small('site', asset('a')) instanceof Promise, 'the oldest has gone');
  await assert.rejects(async () => await library.small('site', asset('lost')), /lost an asset/);
});
