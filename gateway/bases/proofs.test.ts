import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import type { ModuleSpec, ProbeResult } from '../../pool/keeper/api.ts';
import type { BaseDefinition } from '../../pool/keeper/definition.ts';
import type { Registry } from '../registry/registry.ts';
import { artifactOf, rolloutRecord, versionRecord } from '../registry/testing/records.ts';
import { openRegistry, openStore } from '../triggers/testing/harness.ts';
import { createBaseGate } from './gate.ts';
import { createBaseProofs } from './proofs.ts';
import { provedTraffic } from './proved-traffic.ts';

const all = (version: string) => ({ split: [{ version, percent: 100 }] });
const RESULT: ProbeResult = { handlers: ['fetch'], codeCache: null, loadMs: 1, probeMs: 1 };

/** `shop` with v1 (which leaves a library to its base), v2 and v3, which takes the traffic; none of them is known. */
async function rig(t: TestContext, probe: (spec: ModuleSpec) => Promise<void> = async () => undefined) {
  const raw: Registry = await openRegistry(await openStore(t));
  const gate = createBaseGate();
  const inUse = new Map<string, BaseDefinition>();
  const generation = (number: number, shared: string[] = []): BaseDefinition => ({
    name: 'default',
    generation: number,
    shared: shared.map((specifier) => ({ specifier, library: specifier, version: '1.0.0', path: '/', bytes: 1 })),
    setupPath: null,
    env: {},
  });
  const use = (definition: BaseDefinition) =>
    gate.switch('default', async () => {
      inUse.set('default', definition);
    });
  const probed: string[] = [];
  const keeper = {
    async probe(spec: ModuleSpec): Promise<ProbeResult> {
      probed.push(spec.version);
      await probe(spec);
      return RESULT;
    },
  };
  const proofs = createBaseProofs({ gate, inUse, keeper, registry: raw });
  const warned: string[] = [];
  const registry = provedTraffic({ registry: raw, proofs, gate, log: { warn: (message) => warned.push(message) } });
  for (const version of ['v1', 'v2', 'v3']) {
    const provided = version === 'v1' ? [{ library: 'hono', version: '1.0.0', bytes: 1 }] : [];
    await raw.addVersion(versionRecord('shop', version, { provided }), artifactOf('require("hono")'), true);
  }
  const first = generation(1, ['hono']);
  await use(first);
  return {
    registry,
    proofs,
    probed,
    warned,
    generation,
    first,
    use,
    active: () => raw.function('shop')?.active?.version,
  };
}

const to = (registry: Registry, version: string) =>
  registry.setTraffic([{ name: 'shop', traffic: all(version) }]).then(() => undefined);

test('a version is proved when traffic comes to it, and once on each generation', async (t) => {
  const { registry, proofs, probed, generation, use, active } = await rig(t);
  await to(registry, 'v2');
  await to(registry, 'v3');
  await to(registry, 'v2');
  await registry.rollback('shop');
  assert.deepEqual([probed, active()], [['v2', 'v3'], 'v3']);
  const next = generation(2);
  await use(next);
  const v2 = registry.function('shop')?.find('v2');
  assert.ok(v2 !== undefined && !proofs.has(v2));
  proofs.note(v2, next);
  await to(registry, 'v2');
  assert.deepEqual(probed, ['v2', 'v3'], 'the change of the base had proved it');
});

test('what takes traffic already is not asked, also when its share changes', async (t) => {
  const { registry, probed } = await rig(t);
  const split = (v3: number) => [
    { version: 'v3', percent: v3 },
    { version: 'v2', percent: 100 - v3 },
  ];
  await registry.setTraffic([{ name: 'shop', traffic: { split: split(90) } }]);
  await registry.setTraffic([{ name: 'shop', traffic: { split: split(10) } }]);
  assert.deepEqual(probed, ['v2']);
});

test('one that does not come up is refused with the reason, by rule too, and the traffic stays', async (t) => {
  const { registry, probed, generation, use, active } = await rig(t, async ({ version }) => {
    if (version === 'v2') throw new HearthError('FUNCTION_TIMEOUT', 'Too late.');
  });
  const refused = {
    code: 'PROBE_FAILED',
    message: /Version v2 of shop does not come up on the base "default".*Too late/,
  };
  await assert.rejects(to(registry, 'v2'), refused);
  await assert.rejects(registry.rollback('shop'), refused);
  await use(generation(2));
  const rules = [{ when: { header: { 'x-beta': 'yes' } }, version: 'v1' }];
  await assert.rejects(registry.setTraffic([{ name: 'shop', traffic: { ...all('v3'), rules } }]), {
    code: 'PROBE_FAILED',
    message: /Version v1 .*leaves "hono" to its base, which does not share it\. Deploy its code anew/,
  });
  assert.deepEqual([probed, active()], [['v2', 'v2'], 'v3'], 'v1 need not be loaded to know it');
});

test('one whose base is gone is refused', async (t) => {
  const { registry, proofs } = await rig(t);
  const v2 = registry.function('shop')?.find('v2');
  assert.ok(v2 !== undefined);
  const apart = { ...v2, claims: { ...v2.claims, base: 'gone' } };
  Object.defineProperties(apart, { manifest: { value: v2.manifest }, spec: { value: v2.spec } });
  await assert.rejects(proofs.prove(apart), { code: 'PROBE_FAILED', message: /no such base/ });
});

for (const [how, back] of [
  ['switched', false],
  ['switched, and back again,', true],
] as const) {
  test(`a base that is ${how} while a version is proved is asked again before the traffic moves`, async (t) => {
    let switching: Promise<void> | null = null;
    const made = await rig(t, async () => {
      switching ??= made.use(made.generation(2)).then(() => (back ? made.use(made.first) : undefined));
      await switching;
    });
    const { registry, probed, active } = made;
    await to(registry, 'v2');
    assert.deepEqual([probed, active()], [['v2', 'v2'], 'v2']);
  });
}

test('a rollback is not held up by want of room, anything else is', async (t) => {
  const { registry, warned, active } = await rig(t, async () => {
    throw new HearthError('NO_CAPACITY', 'No base came free.');
  });
  await assert.rejects(to(registry, 'v1'), { code: 'NO_CAPACITY' });
  assert.equal(active(), 'v3');
  await registry.rollback('shop');
  assert.equal(active(), 'v2');
  assert.deepEqual(warned, ['rolled back to a version that could not be proved first']);
});

test('what a rollout returns to is not proved first', async (t) => {
  const { registry, probed, active } = await rig(t);
  await registry.returnTraffic([{ name: 'shop', traffic: all('v2') }], () => rolloutRecord({ state: 'stopped' }));
  assert.deepEqual([probed, active()], [[], 'v2']);
});

test('what was deleted is known no longer, and a generation that is given up is forgotten', async (t) => {
  const { registry, proofs, generation } = await rig(t);
  await to(registry, 'v1');
  const v1 = registry.function('shop')?.find('v1');
  assert.ok(v1 !== undefined && proofs.has(v1));
  await registry.deleteFunction('shop');
  assert.equal(proofs.has(v1), false);
  const other = generation(9);
  proofs.note(v1, other);
  proofs.forget(other);
  assert.equal(proofs.has(v1), false);
});
