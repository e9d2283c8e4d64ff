/** Functions, versions, artifacts and secrets. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { Traffic } from '../../../functions/contract/traffic.ts';
import type { Artifact, FunctionRecord, VersionRecord } from '../api/registry.ts';
import { artifactOf, cronOf, functionOf, loadAll, NOW, type StoreTest, versionOf } from './harness.ts';

export function registryContract(test: StoreTest): void {
  describe('registry', () => {
    test('keeps functions, versions and artifacts over a restart', async (store, again) => {
      const version = versionOf('shop', 'v1');
      const artifact = artifactOf('code', { cache: true, files: ['a.txt', 'b/ü.txt'] });
      await store.registry.putVersion(version, artifact);
      await store.registry.putFunction(functionOf('shop', 'v1'));
      const opened = await again();
      assert.deepEqual(await loadAll(opened), {
        functions: [functionOf('shop', 'v1')],
        versions: [version],
      });
      assert.deepEqual(await opened.registry.getArtifact('shop', 'v1'), artifact);
      assert.equal(await opened.registry.getArtifact('shop', 'v2'), null);
    });

    test('takes an empty artifact as it is', async (store) => {
      const artifact: Artifact = {
        code: new Uint8Array(0),
        sourceMap: null,
        files: [{ path: 'empty', bytes: new Uint8Array(0) }],
        codeCache: null,
      };
      await store.registry.putVersion(versionOf('shop', 'v1'), artifact);
      assert.deepEqual(await store.registry.getArtifact('shop', 'v1'), artifact);
    });

    test('never changes a version that exists', async (store) => {
      const artifact = artifactOf('first');
      await store.registry.putVersion(versionOf('shop', 'v1'), artifact);
      await store.registry.putVersion({ ...versionOf('shop', 'v1'), createdAt: 1 }, artifactOf('second'));
      await store.registry.deploy(
        { ...versionOf('shop', 'v1'), createdAt: 2 },
        artifactOf('third'),
        functionOf('shop', 'v1'),
      );
      const { versions, functions } = await loadAll(store);
      assert.deepEqual(versions, [versionOf('shop', 'v1')]);
      assert.deepEqual(functions, [functionOf('shop', 'v1')]);
      assert.deepEqual(await store.registry.getArtifact('shop', 'v1'), artifact);
    });

    test('hands over many functions page by page, each once and with all its versions', async (store) => {
      const names = Array.from({ length: 130 }, (_, index) => `f-${String(index).padStart(3, '0')}`);
      await Promise.all(
        names.flatMap((name) => [
          store.registry.deploy(versionOf(name, 'v1'), artifactOf('1'), functionOf(name, 'v1')),
          store.registry.deploy(versionOf(name, 'v2'), artifactOf('2'), functionOf(name, 'v2')),
        ]),
      );
      const first = await store.registry.page(null);
      assert.ok(first.functions.length < names.length, 'all came at once');
      const { functions, versions } = await loadAll(store);
      assert.deepEqual(
        functions.map(({ name }) => name),
        names,
      );
      assert.deepEqual(
        versions.map(({ functionName, version }) => `${functionName} ${version}`),
        names.flatMap((name) => [`${name} v1`, `${name} v2`]),
      );
    });

    test('hands over some functions with all their versions, and nothing of those that are not there', async (store) => {
      for (const name of ['shop', 'cart', 'mail']) {
        await store.registry.deploy(versionOf(name, 'v2'), artifactOf('2'), functionOf(name, 'v2'));
        await store.registry.deploy(
          { ...versionOf(name, 'v1'), createdAt: NOW + 1 },
          artifactOf('1'),
          functionOf(name, 'v1'),
        );
      }
      await store.secrets.put('shop', 'KEY', new Uint8Array([1]), NOW);
      const { functions, versions } = await store.registry.functions(['shop', 'none', 'cart', 'shop', "it's"]);
      assert.deepEqual(functions, [functionOf('cart', 'v1'), { ...functionOf('shop', 'v1'), secretRevision: 1 }]);
      assert.deepEqual(
        versions.map(({ functionName, text }) => `${functionName} ${(JSON.parse(text) as VersionRecord).version}`),
        ['cart v2', 'cart v1', 'shop v2', 'shop v1'],
      );
      const many = Array.from({ length: 120 }, (_, i) => `f-${String(i).padStart(3, '0')}`);
      for (const name of many) await store.registry.putFunction(functionOf(name, 'v1'));
      assert.deepEqual(
        (await store.registry.functions(many)).functions.map(({ name }) => name),
        many,
      );
      assert.deepEqual(await store.registry.functions([]), { functions: [], versions: [] });
    });

    test('deploys version and traffic together', async (store) => {
      const second: FunctionRecord = {
        ...functionOf('shop', 'v2'),
        previousTraffic: { split: [{ version: 'v1', percent: 100 }] },
        updatedAt: NOW + 1,
      };
      await store.registry.deploy(versionOf('shop', 'v1'), artifactOf('1'), functionOf('shop', 'v1'));
      await store.registry.deploy(versionOf('shop', 'v2'), artifactOf('2'), second);
      const loaded = await loadAll(store);
      assert.deepEqual(loaded.functions, [second]);
      assert.deepEqual(loaded.versions.map(({ version }) => version).sort(), ['v1', 'v2']);
    });

    test('moves the traffic of several functions together, with all that the setting says', async (store, again) => {
      const traffic: Traffic = {
        split: [
          { version: 'v1', percent: 99.5 },
          { version: 'v2', percent: 0.5 },
        ],
        rules: [{ when: { header: { 'x-beta': 'ja, ü' }, json: { '/user/id': 7 } }, version: 'v2' }],
        stickyBy: { cookie: 'session' },
      };
      const records = ['a', 'b', 'c'].map((name) => ({ ...functionOf(name, 'v1'), traffic }));
      for (const name of ['a', 'b']) await store.registry.putFunction(functionOf(name, 'v1'));
      await store.registry.putFunctions(records);
      await store.registry.putFunctions([]);
      assert.deepEqual((await loadAll(await again())).functions, records);
    });

    test('replaces a code cache, and keeps none for a version that is gone', async (store) => {
      await store.registry.putVersion(versionOf('shop', 'v1'), artifactOf('code', { cache: true }));
      const cache = { key: 'newer', bytes: new Uint8Array([9, 9]) };
      await store.registry.putCodeCache('shop', 'v1', cache);
      assert.deepEqual((await store.registry.getArtifact('shop', 'v1'))?.codeCache, cache);
      assert.equal(await store.registry.deleteVersion('shop', 'v1'), true);
      await store.registry.putCodeCache('shop', 'v1', cache);
      await store.registry.putVersion(versionOf('shop', 'v1'), artifactOf('code'));
      assert.equal((await store.registry.getArtifact('shop', 'v1'))?.codeCache, null);
    });

    test('deletes one version and leaves its neighbours', async (store) => {
      for (const version of ['v1', 'v2'])
        await store.registry.putVersion(versionOf('shop', version), artifactOf(version));
      assert.equal(await store.registry.deleteVersion('shop', 'v1'), true);
      assert.equal(await store.registry.deleteVersion('shop', 'v1'), false);
      assert.equal(await store.registry.getArtifact('shop', 'v1'), null);
      assert.deepEqual(await store.registry.getArtifact('shop', 'v2'), artifactOf('v2'));
    });

    test('deletes a function with all that is its own, and nothing of another one', async (store) => {
      for (const name of ['shop', 'shop-2']) {
        await store.registry.deploy(versionOf(name, 'v1'), artifactOf('1'), functionOf(name, 'v1'));
        await store.secrets.put(name, 'K', new Uint8Array([1]), NOW);
        await store.crons.replace(name, [cronOf(name, 0)]);
        const due = { id: `${name}/0`, dueAt: NOW, nextAt: NOW + 1, startedAt: NOW };
        const run = { ...due, invocationId: `run of ${name}`, skipped: null, alone: false };
        await store.crons.claim([run], 'gone', NOW);
      }
      assert.equal(await store.registry.deleteFunction('shop'), true);
      assert.equal(await store.registry.deleteFunction('shop'), false);
      const { functions, versions } = await loadAll(store);
      assert.deepEqual(
        functions.map(({ name }) => name),
        ['shop-2'],
      );
      assert.deepEqual(
        versions.map(({ functionName }) => functionName),
        ['shop-2'],
      );
      assert.deepEqual(await store.secrets.all('shop'), []);
      assert.equal((await store.secrets.all('shop-2')).length, 1);
      assert.deepEqual(
        (await store.crons.list()).map(({ functionName }) => functionName),
        ['shop-2'],
      );
      assert.deepEqual(
        (await store.crons.takeOver('heir', NOW, NOW + 1, false)).map(({ invocationId }) => invocationId),
        ['run of shop-2'],
      );
    });

    test('never comes back to a secret revision that an earlier function of that name had', async (store) => {
      await store.registry.putFunction(functionOf('shop', 'v1'));
      const before = await store.secrets.put('shop', 'K', new Uint8Array([1]), NOW);
      await store.registry.deleteFunction('shop');
      await store.registry.putFunction(functionOf('shop', 'v1'));
      const [record] = (await loadAll(store)).functions;
      assert.ok(record !== undefined && record.secretRevision > before);
    });

    test('carries a code of some megabytes unharmed, and leaves the caller its bytes', async (store) => {
      const code = new Uint8Array(3 * 1024 * 1024).map((_, i) => i % 251);
      await store.registry.putVersion(versionOf('big', 'v1'), { ...artifactOf(''), code });
      assert.equal(code.length, 3 * 1024 * 1024);
      const stored = await store.registry.getArtifact('big', 'v1');
      assert.ok(stored !== null && Buffer.from(stored.code).equals(code));
    });
  });

  describe('secrets', () => {
    test('counts each change and tells all of a function', async (store, again) => {
      assert.equal(await store.secrets.put('shop', 'B', new Uint8Array([2]), NOW), 1);
      assert.equal(await store.secrets.put('shop', 'A', new Uint8Array([1]), NOW), 2);
      assert.equal(await store.secrets.put('shop', 'B', new Uint8Array([3]), NOW + 1), 3);
      assert.equal(await store.secrets.put('other', 'A', new Uint8Array([4]), NOW), 1);
      const opened = await again();
      assert.deepEqual(await opened.secrets.all('shop'), [
        { key: 'A', sealed: new Uint8Array([1]), updatedAt: NOW },
        { key: 'B', sealed: new Uint8Array([3]), updatedAt: NOW + 1 },
      ]);
      assert.deepEqual(await opened.secrets.delete('shop', 'A'), { found: true, revision: 4 });
      assert.deepEqual(await opened.secrets.delete('shop', 'A'), { found: false, revision: 4 });
      assert.deepEqual(await opened.secrets.load('shop'), [
        { functionName: 'shop', revision: 4, secrets: [{ key: 'B', sealed: new Uint8Array([3]) }] },
      ]);
      assert.deepEqual(
        (await opened.secrets.load(null)).map(({ functionName }) => functionName),
        ['other', 'shop'],
      );
      assert.deepEqual(await opened.secrets.load('unknown'), []);
    });

    test('still tells the revision when the last secret is gone', async (store) => {
      await store.secrets.put('shop', 'A', new Uint8Array([1]), NOW);
      await store.secrets.delete('shop', 'A');
      assert.deepEqual(await store.secrets.load('shop'), [{ functionName: 'shop', revision: 2, secrets: [] }]);
    });

    test('shows the revision in the record of the function, whatever was put there', async (store) => {
      await store.secrets.put('shop', 'A', new Uint8Array([1]), NOW);
      await store.registry.putFunction({ ...functionOf('shop', 'v1'), secretRevision: 77 });
      assert.equal((await loadAll(store)).functions[0]?.secretRevision, 1);
    });

    test('seals anew only what has not changed meanwhile, and without a new revision', async (store) => {
      await store.secrets.put('shop', 'A', new Uint8Array([1]), NOW);
      await store.secrets.reseal('shop', 'A', new Uint8Array([1]), new Uint8Array([11]));
      await store.secrets.reseal('shop', 'A', new Uint8Array([1]), new Uint8Array([12]));
      assert.deepEqual(await store.secrets.load('shop'), [
        { functionName: 'shop', revision: 1, secrets: [{ key: 'A', sealed: new Uint8Array([11]) }] },
      ]);
    });
  });
}
