/** Two registries on one store, as two gateways have them. */
import assert from 'node:assert/strict';
import { test as it, type TestContext } from 'node:test';
import type { ManifestInput } from '../../functions/contract/manifest.ts';
import { publicationSchema } from '../../functions/contract/publication.ts';
import type { Store } from '../store/store.ts';
import { openRegistry, openStore } from '../triggers/testing/harness.ts';
import type { Left, Registry } from './registry.ts';
import { artifactOf, versionRecord } from './testing/records.ts';

interface Side {
  registry: Registry;
  /** Of which functions listeners were told, and which versions were let go. */
  told: string[];
  left: string[];
}

async function sideOn(store: Store): Promise<Side> {
  const registry = await openRegistry(store);
  const side: Side = { registry, told: [], left: [] };
  registry.onChange((name) => void side.told.push(name));
  registry.onLeave(({ version, mayReturn }: Left) => {
    side.left.push(`${version.functionName} ${version.version}${mayReturn ? ' may return' : ''}`);
  });
  return side;
}

async function two(t: TestContext): Promise<{ store: Store; here: Side; there: Side }> {
  const store = await openStore(t);
  return { store, here: await sideOn(store), there: await sideOn(store) };
}

async function add(
  { registry }: Side,
  functionName: string,
  version: string,
  manifest: ManifestInput = {},
): Promise<void> {
  const record = versionRecord(functionName, version, { manifest, createdAt: Number(version.slice(1)) });
  await registry.addVersion(record, artifactOf(version), true);
}

const all = (...functions: string[]) => ({ functions, publications: true });
const servedAt = ({ registry }: Side, path: string) => registry.route('127.0.0.1', path)?.entry.record.name;
const settings = (function_: string, routes: string[]) => publicationSchema.parse({ function: function_, routes });

it('what is the same is left as it is, and nobody is told', async (t) => {
  const { here, there } = await two(t);
  await add(here, 'shop', 'v1');
  assert.deepEqual(await there.registry.refresh(all('shop', 'none')), ['shop']);
  const entry = there.registry.function('shop');
  assert.deepEqual(await there.registry.refresh(all('shop')), []);
  assert.deepEqual(await here.registry.refresh(all('shop')), []);
  assert.equal(there.registry.function('shop'), entry);
  assert.deepEqual([here.told, there.told], [['shop'], ['shop']]);
});

it('a version that left the traffic, or is gone, is let go as it would be here', async (t) => {
  const { here, there } = await two(t);
  for (const version of ['v1', 'v2', 'v3']) await add(here, 'shop', version);
  await there.registry.refresh(all('shop'));
  assert.equal(there.registry.function('shop')?.active?.version, 'v3');
  await here.registry.rollback('shop');
  await there.registry.refresh(all('shop'));
  assert.equal(there.registry.function('shop')?.active?.version, 'v2');
  assert.deepEqual(there.left.splice(0), ['shop v3 may return']);
  await here.registry.deleteVersion('shop', 'v1');
  await there.registry.refresh(all('shop'));
  assert.deepEqual([...(there.registry.function('shop')?.versions.keys() ?? [])], ['v2', 'v3']);
  assert.deepEqual(there.left.splice(0), ['shop v1']);
  await here.registry.deleteFunction('shop');
  await there.registry.refresh(all('shop'));
  assert.equal(there.registry.function('shop'), undefined);
  assert.equal(servedAt(there, '/shop'), undefined);
  assert.deepEqual(there.left.splice(0).toSorted(), ['shop v2', 'shop v3']);
});

it('versions have other specs when a secret has changed, and the old ones are let go', async (t) => {
  const { store, here, there } = await two(t);
  await add(here, 'shop', 'v1');
  await there.registry.refresh(all('shop'));
  const before = there.registry.function('shop')?.active;
  await store.secrets.put('shop', 'KEY', new Uint8Array([1]), 1);
  await store.secrets.delete('shop', 'KEY');
  assert.deepEqual(await there.registry.refresh(all('shop')), ['shop']);
  const after = there.registry.function('shop')?.active;
  assert.ok(before !== undefined && after !== undefined && after.key !== before.key);
  assert.deepEqual(there.left, ['shop v1']);
});

it('publications come, move and go, and routes that two of them exchange are never lost', async (t) => {
  const { here, there } = await two(t);
  for (const name of ['cart', 'shop']) await add(here, name, 'v1');
  await here.registry.putPublication('one', settings('cart', ['/one/*']));
  await here.registry.putPublication('two', settings('shop', ['/two/*']));
  await there.registry.refresh(all('cart', 'shop'));
  assert.deepEqual([servedAt(there, '/one/x'), servedAt(there, '/two/x')], ['cart', 'shop']);
  await here.registry.putPublication('one', settings('cart', ['/three/*']));
  await here.registry.putPublication('two', settings('shop', ['/one/*']));
  await here.registry.putPublication('one', settings('cart', ['/two/*']));
  assert.deepEqual((await there.registry.refresh(all())).toSorted(), ['cart', 'shop']);
  assert.deepEqual([servedAt(there, '/one/x'), servedAt(there, '/two/x')], ['shop', 'cart']);
  await here.registry.deletePublication('two');
  await here.registry.deletePublication('cart');
  assert.deepEqual((await there.registry.refresh(all())).toSorted(), ['cart', 'shop']);
  assert.deepEqual([servedAt(there, '/one/x'), servedAt(there, '/cart')], [undefined, undefined]);
  assert.equal(servedAt(there, '/two/x'), 'cart');
  await here.registry.putPublication('cart', { ...settings('cart', []), routes: null });
  await there.registry.refresh(all());
  assert.equal(servedAt(there, '/cart'), 'cart');
  assert.deepEqual(await there.registry.refresh(all()), []);
});

it('nothing has changed when the store is away', async (t) => {
  const { store, here, there } = await two(t);
  await add(here, 'shop', 'v1');
  await store.close();
  await assert.rejects(there.registry.refresh(all('shop')), { code: 'NO_CAPACITY' });
  assert.equal(there.registry.function('shop'), undefined);
  assert.deepEqual(there.told, []);
});
