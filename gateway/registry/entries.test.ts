import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ManifestInput, manifestSchema } from '../../functions/contract/manifest.ts';
import type { VersionRecord } from '../store/api/registry.ts';
import { createClaims } from './claims.ts';
import { compact, expand } from './compact.ts';
import { KeptFunction, type KeptVersion, keptVersion, Shelf } from './entries.ts';
import { createSpec, type OpenedSecrets } from './specs.ts';
import { versionRecord } from './testing/records.ts';

const NO_SECRETS: OpenedSecrets = { revision: 0, values: {}, problem: null };

const recordOf = (functionName: string, version: string, manifest: ManifestInput = {}) =>
  versionRecord(functionName, version, { manifest, provided: [{ library: 'hono', version: '4.0.0', bytes: 100 }] });

/** Versions that stand on a shelf for so many, and how often a spec was made. */
function shelfFor(most: number) {
  const claimsOf = createClaims();
  const made: string[] = [];
  const shelf = new Shelf(most);
  const opener = {
    shelf,
    spec(record: VersionRecord, secrets: OpenedSecrets) {
      made.push(record.functionName);
      const image = () => Promise.reject(new Error('nothing is run here'));
      return createSpec({ record, secrets, network: 'all', image });
    },
  };
  const version = (name: string, manifest?: ManifestInput): KeptVersion => {
    const record = recordOf(name, 'v1', manifest);
    return keptVersion(record, claimsOf(record.manifest), NO_SECRETS, opener);
  };
  return { shelf, made, version };
}

describe('a version as text', () => {
  const rich: ManifestInput = {
    main: 'src/index.ts',
    vars: { A: 'x', B: { deep: [1, null, 'ü'] }, hearth: 'a name like any' },
    routes: ['example.com/api/*'],
    triggers: { crons: ['*/5 * * * *'] },
    queues: { producers: [{ binding: 'Q', queue: 'q' }], consumers: [{ queue: 'in', max_retries: 0 }] },
    kv_namespaces: [{ binding: 'KV', id: 'k' }],
    services: [{ binding: 'S', service: 's', props: { a: null } }],
    limits: { cpu_ms: 50 },
    compatibility_date: '2026-01-31',
    compatibility_flags: ['nodejs_compat'],
    hearth: { timeoutMs: 1, minInstances: 1, publish: false, keepAlive: 0, auth: { bearer: 'TOKEN' }, group: 'g' },
  };

  for (const [what, manifest] of [
    ['one that says nothing', {}],
    ['one that says everything', rich],
  ] as const) {
    it(`is read as it was: ${what}`, () => {
      const record = recordOf('shop', 'v1', manifest);
      assert.deepEqual(expand('shop', 'v1', compact(record)), record);
    });
  }

  it('holds only what its manifest says otherwise than one that says nothing', () => {
    const given = JSON.parse(compact(recordOf('shop', 'v1', { hearth: { concurrency: 1 } })));
    assert.deepEqual(given.manifest, { name: 'shop', hearth: { concurrency: 1 } });
  });

  it('shares what all have, so that nobody can change it for the others', () => {
    const first = expand('a', 'v1', compact(recordOf('a', 'v1')));
    const second = expand('b', 'v1', compact(recordOf('b', 'v1')));
    assert.equal(first.manifest.queues, second.manifest.queues);
    assert.throws(() => first.manifest.routes.push('*/'), TypeError);
    assert.throws(() => Object.assign(first.manifest.hearth, { concurrency: 1 }), TypeError);
  });
});

describe('versions of one function', () => {
  const claimsOf = createClaims();
  const { shelf } = shelfFor(5);
  const spec = () => {
    throw new Error('nothing is opened here');
  };
  const kept = ['aaaaaaaa1', 'aaaaaaaa2', 'bbbbbbbb1', 'short'].map((name) => {
    const record = recordOf('shop', name);
    return keptVersion(record, claimsOf(record.manifest), NO_SECRETS, { shelf, spec });
  });
  const split = (version: string) => ({ split: [{ version, percent: 100 }] });
  const entry = new KeptFunction(
    {
      name: 'shop',
      traffic: { ...split('aaaaaaaa1'), rules: [{ when: { query: { a: 'b' } }, version: 'aaaaaaaa2' }] },
      previousTraffic: split('bbbbbbbb1'),
      createdAt: 1,
      updatedAt: 1,
      secretRevision: 0,
    },
    kept,
  );

  it('are found by their ids, and by eight characters of one that no other begins with', () => {
    assert.equal(entry.find('aaaaaaaa1'), kept[0]);
    assert.equal(entry.find('bbbbbbbb'), kept[2]);
    assert.equal(entry.find('short'), kept[3]);
    for (const none of ['aaaaaaaa', 'bbbbbbb', 'bbbbbbbb2', 'shor', ''])
      assert.equal(entry.find(none), undefined, none);
  });

  it('are named by the traffic, by its rules, and by what a rollback leads to', () => {
    const named = kept.map(({ version }) => entry.names(version));
    assert.deepEqual(named, [true, true, true, false]);
  });
});

describe('versions that are open', () => {
  it('are none before anything but names and claims is asked for', () => {
    const { shelf, made, version } = shelfFor(2);
    const kept = version('shop', { hearth: { reserved: 1 } });
    const entry = new KeptFunction(
      {
        name: 'shop',
        traffic: { split: [{ version: 'v1', percent: 100 }] },
        previousTraffic: null,
        createdAt: 1,
        updatedAt: 1,
        secretRevision: 0,
      },
      [kept],
    );
    assert.equal(entry.active?.key, 'shop@v1+0');
    assert.equal(entry.active.claims.resident, true);
    assert.equal(entry.versions.get('v1'), kept);
    assert.deepEqual([shelf.size, made], [0, []]);
  });

  it('give the same spec each time, made once', () => {
    const { made, version } = shelfFor(2);
    const kept = version('shop');
    assert.equal(kept.spec, kept.spec);
    assert.equal(kept.record.handlers[0], 'fetch');
    assert.deepEqual(made, ['shop']);
  });

  it('are so many at most, and those that go are the ones that were not used', () => {
    const { shelf, made, version } = shelfFor(2);
    const [hot, idle, next, last] = ['hot', 'idle', 'next', 'last'].map((name) => version(name)) as [
      KeptVersion,
      KeptVersion,
      KeptVersion,
      KeptVersion,
    ];
    const hotSpec = hot.spec;
    const idleSpec = idle.spec;
    void next.spec;
    assert.equal(shelf.size, 2);
    void last.spec;
    // Of the two that had been there, each was used once; the one that is used again stays.
    for (let round = 0; round < 5; round++) {
      void hot.spec;
      void version(`other-${round}`).spec;
    }
    assert.equal(shelf.size, 2);
    const before = made.length;
    const held = hot.spec;
    assert.equal(made.length, before, 'what is used each time was read again');
    assert.equal(held.key, hotSpec.key);
    assert.notEqual(idle.spec, idleSpec);
    assert.equal(idle.spec.key, idleSpec.key);
  });

  it('hold nothing once they are closed, and are read again when they are asked', () => {
    const { shelf, made, version } = shelfFor(2);
    const kept = version('shop', { vars: { A: 'x' } });
    assert.deepEqual(kept.spec.vars, { A: 'x' });
    kept.close();
    assert.equal(shelf.size, 0);
    assert.deepEqual(kept.spec.vars, { A: 'x' });
    assert.deepEqual(made, ['shop', 'shop']);
  });

  it('keep the key of their own secrets after newer ones came', () => {
    const { version } = shelfFor(2);
    const old = version('shop');
    const now = old.with({ revision: 1, values: { KEY: 'new' }, problem: null });
    assert.equal(old.key, 'shop@v1+0');
    assert.equal(old.spec.key, 'shop@v1+0');
    assert.equal(now.spec.key, 'shop@v1+1');
    assert.deepEqual(now.spec.vars, { KEY: 'new' });
  });
});

describe('claims', () => {
  it('are one object for all that say the same and name no route and no queue', () => {
    const claimsOf = createClaims();
    const of = (manifest: ManifestInput) => claimsOf(manifestSchema.parse(manifest));
    assert.equal(of({ name: 'a' }), of({ name: 'b', vars: { A: '1' } }));
    assert.notEqual(of({}), of({ triggers: { crons: ['* * * * *'] } }));
    assert.equal(of({ triggers: { crons: ['* * * * *'] } }).crons, true);
    assert.equal(of({ hearth: { trustGroup: 'shop' } }).trustGroup, 'shop');
    assert.equal(of({ hearth: { minInstances: 1 } }).resident, true);
    assert.equal(of({ hearth: { publish: false } }).publish, false);
  });

  it('name routes and queues, dead letters among them', () => {
    const claims = createClaims()(
      manifestSchema.parse({
        routes: ['example.com/*'],
        queues: { producers: [{ binding: 'Q', queue: 'out' }], consumers: [{ queue: 'in' }] },
      }),
    );
    assert.deepEqual(claims.routes, ['example.com/*']);
    assert.deepEqual(claims.consumes, ['in']);
    assert.deepEqual([...claims.queues].sort(), ['in', 'in.dead', 'out']);
  });
});
