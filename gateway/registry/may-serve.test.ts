import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { openRegistry, openStore } from '../triggers/testing/harness.ts';
import type { Registry } from './registry.ts';
import { artifactOf, versionRecord } from './testing/records.ts';

const all = (version: string) => ({ split: [{ version, percent: 100 }] });

/** `shop` with these versions, the last of which takes the traffic. */
async function open(t: TestContext, ...versions: string[]): Promise<Registry> {
  const registry = await openRegistry(await openStore(t));
  for (const version of versions) {
    await registry.addVersion(versionRecord('shop', version), artifactOf(version), true);
  }
  return registry;
}

const told = (registry: Registry) => registry.mayServe('shop').map(({ version, by }) => `${version.version} ${by}`);

test('is what takes traffic, by split or rule, and what a rollback leads to, each once', async (t) => {
  const registry = await open(t, 'v1', 'v2', 'v3');
  assert.deepEqual(told(registry), ['v3 traffic', 'v2 rollback']);
  const traffic = { ...all('v3'), rules: [{ when: { header: { 'x-beta': 'yes' } }, version: 'v1' }] };
  await registry.setTraffic([{ name: 'shop', traffic }]);
  assert.deepEqual(told(registry), ['v3 traffic', 'v1 traffic']);
  await registry.rollback('shop');
  assert.deepEqual(told(registry), ['v3 traffic', 'v1 rollback']);
});

test('is also what a rollout leads to, what it returns to, and what a rollback leads to then', async (t) => {
  const registry = await open(t, 'v1', 'v2', 'v3', 'v4');
  await registry.setTraffic([{ name: 'shop', traffic: all('v3'), previous: null }]);
  registry.reserve('r', [{ name: 'shop', version: 'v4', before: all('v2'), previous: all('v1') }]);
  assert.deepEqual(told(registry), ['v3 traffic', 'v4 rollout', 'v2 rollout', 'v1 rollout']);
  for (const version of ['v1', 'v2', 'v4']) {
    await assert.rejects(registry.deleteVersion('shop', version), { code: 'CONFLICT', message: /in the rollout r/ });
  }
  registry.release('r');
  assert.deepEqual(told(registry), ['v3 traffic']);
  assert.equal(await registry.deleteVersion('shop', 'v1'), true);
});

test('is nothing of a function that is not there', async (t) => {
  assert.deepEqual((await open(t)).mayServe('shop'), []);
});
