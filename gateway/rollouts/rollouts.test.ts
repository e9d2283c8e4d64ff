import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import type { ManifestInput } from '../../functions/contract/manifest.ts';
import { rolloutRequestSchema } from '../../functions/contract/rollout.ts';
import type { Registry } from '../registry/registry.ts';
import { artifactOf, versionRecord } from '../registry/testing/records.ts';
import type { Store } from '../store/store.ts';
import { createIdMaker } from '../triggers/ids.ts';
import { ManualClock, openRegistry, openStore, SILENT, START_MS } from '../triggers/testing/harness.ts';
import { createReports } from './reports.ts';
import { createRollouts, type Rollouts, type RolloutsParts } from './rollouts.ts';
import { call } from './testing/calls.ts';
import { isError } from './testing/errors.ts';

interface Rig {
  clock: ManualClock;
  store: Store;
  registry: Registry;
  rollouts: Rollouts;
  /** The audit's actions, in their order. */
  actions: string[];
  /** Moves the time on, look by look, and lets what follows come to rest. */
  pass(ms: number): Promise<void>;
  /** A gateway that is started on the same store. */
  restart(): Promise<Rig>;
}

async function addVersion(
  registry: Registry,
  functionName: string,
  version: string,
  activate: boolean,
  manifest: ManifestInput = {},
): Promise<void> {
  await registry.addVersion(versionRecord(functionName, version, { manifest }), artifactOf(version), activate);
}

async function start(clock: ManualClock, store: Store, parts: Partial<RolloutsParts> = {}): Promise<Rig> {
  const registry = parts.registry === undefined ? await openRegistry(store, clock.now) : (parts.registry as Registry);
  const actions: string[] = [];
  const rollouts = createRollouts({
    store: store.rollouts,
    registry,
    async audit(actor, action, _subject, detail) {
      actions.push(`${actor} ${action} ${JSON.stringify(detail?.state)} ${detail?.step}/${detail?.steps}`);
    },
    now: clock.now,
    timers: clock,
    newId: createIdMaker(clock.now),
    log: SILENT,
    ...parts,
  });
  await rollouts.start();
  return {
    clock,
    store,
    registry,
    rollouts,
    actions,
    async pass(ms) {
      for (let passed = 0; passed < ms; passed += 250) {
        clock.advance(250);
        await rollouts.list(10);
      }
    },
    async restart() {
      await rollouts.drain();
      return start(clock, store);
    },
  };
}

/** `shop` and `cart` with v1 in traffic and v2 beside it. */
async function openRig(
  t: TestContext,
  parts: (registry: Registry, store: Store) => Partial<RolloutsParts> = () => ({}),
): Promise<Rig> {
  const store = await openStore(t);
  const clock = new ManualClock(START_MS);
  const registry = await openRegistry(store, clock.now);
  for (const name of ['shop', 'cart']) {
    await addVersion(registry, name, 'v1', true);
    await addVersion(registry, name, 'v2', false);
  }
  const rig = await start(clock, store, { registry, ...parts(registry, store) });
  t.after(() => rig.rollouts.drain());
  return rig;
}

function request(steps: unknown[], more: { functions?: string[]; guard?: unknown } = {}) {
  const { functions = ['shop'], guard = {} } = more;
  return rolloutRequestSchema.parse({ functions: functions.map((name) => ({ name, version: 'v2' })), steps, guard });
}

const STEPS = [{ percent: 10, pauseSeconds: 1 }, { percent: 50, pauseSeconds: 1 }, { percent: 100 }];

/** What version takes how much. */
function shares({ registry }: Rig, name = 'shop'): string {
  const traffic = registry.function(name)?.record.traffic;
  return traffic?.split.map(({ version, percent }) => `${version} ${percent}`).join(', ') ?? 'none';
}

function feed(
  rig: Rig,
  functionName: string,
  version: string,
  count: number,
  sketch: Parameters<typeof call>[0] = {},
): void {
  for (let i = 0; i < count; i++) rig.rollouts.finished(call({ functionName, version, ...sketch }));
}

describe('rollouts', () => {
  it('move the traffic step by step to the end, and a rollback from there leads to before the rollout', async (t) => {
    const rig = await openRig(t);
    const { record } = await rig.rollouts.create(request(STEPS), 'admin');
    const seen = [shares(rig)];
    for (let ms = 0; ms < 4000 && (await rig.rollouts.get(record.id)).record.state === 'running'; ms += 250) {
      await rig.pass(250);
      if (seen.at(-1) !== shares(rig)) seen.push(shares(rig));
    }
    assert.deepEqual(seen, ['v1 90, v2 10', 'v1 50, v2 50', 'v2 100']);
    const ended = await rig.rollouts.get(record.id);
    assert.deepEqual([ended.record.state, ended.record.why, ended.windows], ['completed', null, null]);
    assert.deepEqual(rig.actions, [
      'admin rollout.create "running" 1/3',
      'hearth rollout.step "running" 2/3',
      'hearth rollout.step "running" 3/3',
      'hearth rollout.complete "completed" 3/3',
    ]);
    await rig.registry.rollback('shop');
    assert.equal(shares(rig), 'v1 100');
    assert.equal(rig.clock.timers, 0, 'nobody looks when nothing runs');
  });

  it('are stopped by errors at the next look, with the traffic back as it was and the reason in words', async (t) => {
    const rig = await openRig(t);
    const { record } = await rig.rollouts.create(request(STEPS), 'admin');
    feed(rig, 'shop', 'v1', 900);
    feed(rig, 'shop', 'v2', 60);
    feed(rig, 'shop', 'v2', 40, { status: 500 });
    await rig.pass(250);
    assert.equal(shares(rig), 'v1 100');
    const ended = await rig.rollouts.get(record.id);
    assert.equal(ended.record.state, 'stopped');
    assert.equal(
      ended.record.why,
      'shop v2: error rate 40 % (40 of 100 requests) against 0 % (0 of 900 requests) of the version before',
    );
    assert.equal(rig.actions.at(-1), 'hearth rollout.stop "stopped" 1/3');
    assert.equal(
      rig.registry.function('shop')?.record.previousTraffic,
      null,
      'no rollback leads into what was stopped',
    );
    await rig.pass(5000);
    assert.equal(shares(rig), 'v1 100');
  });

  it('are stopped by latency, also while they wait or are paused', async (t) => {
    for (const pause of [false, true]) {
      const rig = await openRig(t);
      const { record } = await rig.rollouts.create(
        request([{ percent: 10, confirm: true }, { percent: 100 }]),
        'admin',
      );
      await rig.pass(250);
      if (pause) await rig.rollouts.change(record.id, 'pause', 'admin');
      assert.equal((await rig.rollouts.get(record.id)).record.state, pause ? 'paused' : 'waiting');
      feed(rig, 'shop', 'v1', 900, { latencyMs: 2 });
      feed(rig, 'shop', 'v2', 100, { latencyMs: 200 });
      await rig.pass(1000);
      const ended = await rig.rollouts.get(record.id);
      assert.equal(ended.record.state, 'stopped');
      assert.match(ended.record.why ?? '', /^shop v2: p95 latency 2\d\d ms \(95 requests\) against 2/);
      assert.equal(shares(rig), 'v1 100');
    }
  });

  it('are not stopped by calls that were slow together and are few a second later', async (t) => {
    const rig = await openRig(t);
    await rig.rollouts.create(request([{ percent: 50, confirm: true }, { percent: 100 }]), 'admin');
    feed(rig, 'shop', 'v1', 100);
    feed(rig, 'shop', 'v2', 80);
    feed(rig, 'shop', 'v2', 20, { latencyMs: 200 });
    await rig.pass(750);
    feed(rig, 'shop', 'v2', 400);
    await rig.pass(5000);
    assert.equal(shares(rig), 'v1 50, v2 50');
  });

  it('are stopped by latency with the next look when most calls since the first go on being slow', async (t) => {
    for (const [again, stopped] of [
      [{ count: 20, latencyMs: 200 }, true],
      [{ count: 19, latencyMs: 200 }, false],
      [{ count: 20, latencyMs: 1 }, false],
    ] as const) {
      const rig = await openRig(t);
      await rig.rollouts.create(request([{ percent: 50, confirm: true }, { percent: 100 }]), 'admin');
      feed(rig, 'shop', 'v1', 200);
      feed(rig, 'shop', 'v2', 200, { latencyMs: 200 });
      await rig.pass(250);
      assert.equal(shares(rig), 'v1 50, v2 50', 'one look is not enough');
      feed(rig, 'shop', 'v2', again.count, { latencyMs: again.latencyMs });
      await rig.pass(250);
      assert.equal(shares(rig), stopped ? 'v1 100' : 'v1 50, v2 50', JSON.stringify(again));
    }
  });

  it('judge each step by its own calls', async (t) => {
    const rig = await openRig(t);
    const { record } = await rig.rollouts.create(request(STEPS), 'admin');
    // Half of what would be needed, in two steps.
    feed(rig, 'shop', 'v1', 900);
    feed(rig, 'shop', 'v2', 49, { status: 500 });
    await rig.pass(1000);
    assert.equal(shares(rig), 'v1 50, v2 50');
    const { windows } = await rig.rollouts.get(record.id);
    assert.deepEqual([windows?.get('shop')?.fresh.requests, windows?.get('shop')?.old.requests], [0, 0]);
    feed(rig, 'shop', 'v1', 900);
    feed(rig, 'shop', 'v2', 49, { status: 500 });
    await rig.pass(1000);
    assert.equal(shares(rig), 'v2 100');
  });

  it('compare with the old version’s last figures when nobody is left on it', async (t) => {
    const rig = await openRig(t);
    const steps = [
      { percent: 50, pauseSeconds: 0.25 },
      { percent: 100, pauseSeconds: 60 },
    ];
    const { record } = await rig.rollouts.create(request(steps), 'admin');
    feed(rig, 'shop', 'v1', 500);
    feed(rig, 'shop', 'v2', 500);
    await rig.pass(250);
    assert.equal(shares(rig), 'v2 100');
    feed(rig, 'shop', 'v2', 300, { status: 503 });
    await rig.pass(250);
    assert.equal(shares(rig), 'v1 100');
    assert.match((await rig.rollouts.get(record.id)).record.why ?? '', /error rate 100 % \(300 of 300/);
  });

  it('find a fault that comes after days of waiting as soon as one that is there from the beginning', async (t) => {
    const rig = await openRig(t);
    const { record } = await rig.rollouts.create(request([{ percent: 50, confirm: true }, { percent: 100 }]), 'admin');
    for (let day = 0; day < 5; day++) {
      feed(rig, 'shop', 'v1', 30_000);
      feed(rig, 'shop', 'v2', 30_000);
      await rig.pass(250);
    }
    const window = (await rig.rollouts.get(record.id)).windows?.get('shop');
    assert.deepEqual([window?.round, window?.fresh.requests, window?.old.requests], [6, 0, 0]);
    feed(rig, 'shop', 'v1', 100);
    feed(rig, 'shop', 'v2', 100, { status: 500 });
    await rig.pass(250);
    assert.equal(shares(rig), 'v1 100');
  });

  it('wait for enough calls where they are told to', async (t) => {
    const rig = await openRig(t);
    await rig.rollouts.create(request(STEPS, { guard: { whenTooFew: 'wait', minRequests: 20 } }), 'admin');
    feed(rig, 'shop', 'v1', 100);
    feed(rig, 'shop', 'v2', 19);
    await rig.pass(5000);
    assert.equal(shares(rig), 'v1 90, v2 10');
    feed(rig, 'shop', 'v2', 1);
    await rig.pass(250);
    assert.equal(shares(rig), 'v1 50, v2 50');
  });

  it('watch nothing without a guard', async (t) => {
    const rig = await openRig(t);
    await rig.rollouts.create(request(STEPS, { guard: false }), 'admin');
    feed(rig, 'shop', 'v1', 1000);
    feed(rig, 'shop', 'v2', 1000, { status: 500 });
    await rig.pass(1000);
    assert.equal(shares(rig), 'v1 50, v2 50');
  });

  it('move several functions in the same moment, and all back when one of them is bad', async (t) => {
    const rig = await openRig(t);
    const told: string[] = [];
    rig.registry.onChange(() => told.push(`${shares(rig, 'shop')} | ${shares(rig, 'cart')}`));
    const { record } = await rig.rollouts.create(request(STEPS, { functions: ['shop', 'cart'] }), 'admin');
    await rig.pass(1000);
    feed(rig, 'cart', 'v1', 100);
    feed(rig, 'cart', 'v2', 100, { status: 500 });
    feed(rig, 'shop', 'v1', 100);
    feed(rig, 'shop', 'v2', 100);
    await rig.pass(250);
    assert.deepEqual(
      [...new Set(told)],
      ['v1 90, v2 10 | v1 90, v2 10', 'v1 50, v2 50 | v1 50, v2 50', 'v1 100 | v1 100'],
    );
    assert.match((await rig.rollouts.get(record.id)).record.why ?? '', /^cart v2: error rate 100 %/);
  });

  it('are paused, resumed, confirmed and aborted by whoever is named in the audit', async (t) => {
    const rig = await openRig(t);
    const { record } = await rig.rollouts.create(request(STEPS), 'admin');
    await rig.rollouts.change(record.id, 'pause', 'tok_1');
    await rig.pass(5000);
    assert.equal(shares(rig), 'v1 90, v2 10');
    await assert.rejects(rig.rollouts.change(record.id, 'confirm', 'tok_1'), isError('CONFLICT', /resume it first/));
    await rig.rollouts.change(record.id, 'resume', 'tok_2');
    await rig.rollouts.change(record.id, 'confirm', 'tok_2');
    assert.equal(shares(rig), 'v1 50, v2 50');
    const { record: aborted } = await rig.rollouts.change(record.id, 'abort', 'tok_3');
    assert.deepEqual([aborted.state, aborted.why, shares(rig)], ['aborted', 'it was aborted', 'v1 100']);
    await assert.rejects(rig.rollouts.change(record.id, 'resume', 'tok_3'), isError('CONFLICT', /is over \(aborted/));
    assert.deepEqual(rig.actions, [
      'admin rollout.create "running" 1/3',
      'tok_1 rollout.pause "paused" 1/3',
      'tok_2 rollout.resume "running" 1/3',
      'tok_2 rollout.confirm "running" 2/3',
      'tok_3 rollout.abort "aborted" 2/3',
    ]);
  });

  it('are refused for what is not there, has no traffic, has all of it, or is being rolled out', async (t) => {
    const rig = await openRig(t);
    const begin = (functions: { name: string; version: string }[]) =>
      rig.rollouts.create(rolloutRequestSchema.parse({ functions, steps: STEPS }), 'admin');
    await assert.rejects(begin([{ name: 'nobody', version: 'v2' }]), isError('NOT_FOUND', /no function "nobody"/));
    await assert.rejects(begin([{ name: 'shop', version: 'v9' }]), isError('NOT_FOUND', /no version "v9"/));
    await assert.rejects(begin([{ name: 'shop', version: 'v1' }]), isError('CONFLICT', /all of the traffic already/));
    await addVersion(rig.registry, 'idle', 'v2', false);
    await assert.rejects(begin([{ name: 'idle', version: 'v2' }]), isError('CONFLICT', /nothing to roll out from/));
    await assert.rejects(rig.rollouts.get('nothing'), isError('NOT_FOUND', /no rollout "nothing"/));
    await assert.rejects(rig.rollouts.change('nothing', 'abort', 'admin'), isError('NOT_FOUND', /no rollout/));

    const both = [
      { name: 'cart', version: 'v2' },
      { name: 'shop', version: 'v2' },
    ];
    const outcomes = await Promise.allSettled([begin(both), begin([{ name: 'shop', version: 'v2' }])]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected'],
    );
    await assert.rejects(begin([{ name: 'cart', version: 'v2' }]), isError('CONFLICT', /"cart" is in the rollout \w+/));
    assert.equal((await rig.rollouts.list(10)).length, 1);
    const [running] = await rig.rollouts.list(10);
    await rig.rollouts.change(running?.record.id ?? '', 'abort', 'admin');
    await begin([{ name: 'shop', version: 'v2' }]);
  });

  it('leave a function free when the first step cannot be set', async (t) => {
    let full = true;
    const rig = await openRig(t, (registry) => ({
      registry: {
        ...registry,
        setTraffic: (changes, rollout) =>
          full ? Promise.reject(new HearthError('NO_CAPACITY', 'full')) : registry.setTraffic(changes, rollout),
      },
    }));
    await assert.rejects(rig.rollouts.create(request(STEPS), 'admin'), isError('NO_CAPACITY', /full/));
    assert.deepEqual([await rig.rollouts.list(10), shares(rig), rig.actions], [[], 'v1 100', []]);
    full = false;
    await rig.rollouts.create(request(STEPS), 'admin');
    assert.equal(shares(rig), 'v1 90, v2 10');
  });

  it('leave nothing behind when somebody moves the traffic in the very moment they begin', async (t) => {
    const rig = await openRig(t);
    const split = [{ version: 'v2', percent: 100 }];
    const moved = rig.registry.setTraffic([{ name: 'shop', traffic: { split } }]);
    const begun = rig.rollouts.create(request(STEPS, { functions: ['shop', 'cart'] }), 'admin');
    await assert.rejects(begun, isError('CONFLICT', /traffic of shop was changed meanwhile/));
    await moved;
    await rig.pass(1000);
    assert.deepEqual(await rig.rollouts.list(10), []);
    assert.deepEqual([shares(rig, 'shop'), shares(rig, 'cart'), rig.actions], ['v2 100', 'v1 100', []]);
  });

  it('take their step as soon as a store that was away is back', async (t) => {
    let full = false;
    const rig = await openRig(t, (registry) => ({
      registry: {
        ...registry,
        setTraffic: (changes, rollout) =>
          full ? Promise.reject(new HearthError('NO_CAPACITY', 'full')) : registry.setTraffic(changes, rollout),
      },
    }));
    const { record } = await rig.rollouts.create(request(STEPS), 'admin');
    full = true;
    await rig.pass(2000);
    await assert.rejects(rig.rollouts.change(record.id, 'confirm', 'admin'), isError('NO_CAPACITY', /full/));
    assert.equal(shares(rig), 'v1 90, v2 10');
    full = false;
    await rig.pass(250);
    assert.equal(shares(rig), 'v1 50, v2 50');
  });

  for (const [what, move, left] of [
    [
      'a traffic change',
      (rig: Rig) => rig.registry.setTraffic([{ name: 'shop', traffic: { split: [{ version: 'v2', percent: 100 }] } }]),
      'v2 100',
    ],
    ['a deploy', (rig: Rig) => addVersion(rig.registry, 'shop', 'v3', true), 'v3 100'],
    ['a rollback', (rig: Rig) => rig.registry.rollback('shop'), 'v1 100'],
    ['a deletion', (rig: Rig) => rig.registry.deleteFunction('shop'), 'none'],
  ] as [string, (rig: Rig) => Promise<unknown>, string][]) {
    it(`are ended by ${what}, which stays as it is, and the other functions go back`, async (t) => {
      const rig = await openRig(t);
      const { record } = await rig.rollouts.create(request(STEPS, { functions: ['cart', 'shop'] }), 'admin');
      await move(rig);
      const ended = await rig.rollouts.get(record.id);
      assert.equal(ended.record.state, 'aborted');
      assert.match(
        ended.record.why ?? '',
        what === 'a deletion' ? /^shop was deleted$/ : /^the traffic of shop was moved by a/,
      );
      assert.deepEqual([shares(rig, 'shop'), shares(rig, 'cart')], [left, 'v1 100']);
      assert.equal(rig.actions.at(-1), 'hearth rollout.abort "aborted" 1/3');
      await rig.pass(5000);
      assert.deepEqual([shares(rig, 'shop'), shares(rig, 'cart')], [left, 'v1 100']);
    });
  }

  it('overwrite no traffic that somebody set in the very moment of a step', async (t) => {
    const rig = await openRig(t);
    const { record } = await rig.rollouts.create(request(STEPS), 'admin');
    const moved = rig.registry.setTraffic([{ name: 'shop', traffic: { split: [{ version: 'v2', percent: 100 }] } }]);
    const confirmed = rig.rollouts.change(record.id, 'confirm', 'admin');
    await Promise.all([moved, confirmed]);
    assert.equal((await rig.rollouts.get(record.id)).record.state, 'aborted');
    assert.equal(shares(rig), 'v2 100');
  });

  for (const [code, why] of [
    ['CONFLICT', 'The route /x belongs to another.'],
    ['PROBE_FAILED', 'Version v2 of shop does not come up.'],
  ] as const) {
    it(`stop when a step cannot be taken (${code}), and say why`, async (t) => {
      const rig = await openRig(t, (registry) => ({
        registry: {
          ...registry,
          setTraffic(changes, rollout) {
            const most = changes[0]?.traffic?.split.find(({ version }) => version === 'v2')?.percent ?? 0;
            if (most === 50) return Promise.reject(new HearthError(code, why));
            return registry.setTraffic(changes, rollout);
          },
        },
      }));
      const { record } = await rig.rollouts.create(request(STEPS), 'admin');
      await rig.pass(1000);
      const ended = await rig.rollouts.get(record.id);
      assert.deepEqual([ended.record.state, ended.record.why], ['stopped', `step 2 could not be taken: ${why}`]);
      assert.equal(shares(rig), 'v1 100');
    });
  }

  it('keep what they may return to, and let it go when they are over', async (t) => {
    const rig = await openRig(t);
    const steps = [{ percent: 50 }, { percent: 100, pauseSeconds: 60 }];
    const { record } = await rig.rollouts.create(request(steps), 'admin');
    await rig.rollouts.change(record.id, 'confirm', 'admin');
    const again = await rig.restart();
    t.after(() => again.rollouts.drain());
    const kept = isError('CONFLICT', new RegExp(`v1 of shop is in the rollout ${record.id}`));
    await assert.rejects(again.registry.deleteVersion('shop', 'v1'), kept);
    assert.equal(again.registry.isRolledOut('shop'), true);
    await again.rollouts.change(record.id, 'abort', 'admin');
    assert.deepEqual([shares(again), again.registry.isRolledOut('shop')], ['v1 100', false]);
    assert.equal(await again.registry.deleteVersion('shop', 'v2'), true);
  });

  it('go back with every other function when one of them cannot, and name that one in state, audit and log', async (t) => {
    const lines: string[] = [];
    const tell = (message: string, fields?: Record<string, unknown>) => {
      lines.push(`${message} ${fields?.function ?? ''}`);
    };
    const rig = await openRig(t, () => ({ log: { info: tell, warn: tell, error: tell } }));
    const routes = ['shop.example/*'];
    await addVersion(rig.registry, 'shop', 'v0', true, { routes });
    const { record } = await rig.rollouts.create(
      request([{ percent: 100, pauseSeconds: 60 }], { functions: ['shop', 'cart'] }),
      'admin',
    );
    // While its operator publishes something else of it, its routes are nobody's; and then they are another's.
    const published = { function: 'shop', crons: null, queues: null, rpc: true, tag: null, splits: [] };
    await rig.registry.putPublication('shop', { ...published, routes: ['*/other/*'] });
    await addVersion(rig.registry, 'taker', 'v1', true, { routes });
    await rig.registry.putPublication('shop', { ...published, routes: null });

    feed(rig, 'cart', 'v1', 100);
    feed(rig, 'cart', 'v2', 100, { status: 500 });
    await rig.pass(250);
    const ended = (await rig.rollouts.get(record.id)).record;
    assert.equal(ended.state, 'stopped');
    assert.match(
      ended.why ?? '',
      /^cart v2: error rate.*; shop could not go back to its traffic before: The route shop\.example\/\* belongs to/,
    );
    assert.deepEqual([shares(rig, 'shop'), shares(rig, 'cart')], ['v2 100', 'v1 100']);
    assert.equal((await rig.store.rollouts.get(record.id))?.why, ended.why);
    assert.equal(rig.actions.at(-1), 'hearth rollout.stop "stopped" 1/1');
    assert.ok(lines.includes('A function of a rollout could not go back. shop'), lines.join('\n'));
  });

  it('go on after a restart at the step where they were, with its pause anew', async (t) => {
    const rig = await openRig(t);
    const { record } = await rig.rollouts.create(request(STEPS, { functions: ['shop', 'cart'] }), 'admin');
    await rig.pass(1000);
    await rig.pass(750);
    rig.clock.jump(3_600_000);
    const again = await rig.restart();
    t.after(() => again.rollouts.drain());
    assert.equal((await again.rollouts.get(record.id)).record.step, 1);
    await again.pass(750);
    assert.deepEqual([shares(again, 'shop'), shares(again, 'cart')], ['v1 50, v2 50', 'v1 50, v2 50']);
    await again.pass(250);
    assert.deepEqual([shares(again, 'shop'), shares(again, 'cart')], ['v2 100', 'v2 100']);
    await again.pass(250);
    assert.equal((await again.rollouts.get(record.id)).record.state, 'completed');
    const third = await again.restart();
    assert.deepEqual(await third.store.rollouts.running(), []);
    assert.equal((await third.rollouts.get(record.id)).record.state, 'completed');
  });

  it('stay paused over a restart, are still watched, and can be aborted', async (t) => {
    const rig = await openRig(t);
    const { record } = await rig.rollouts.create(request(STEPS), 'admin');
    await rig.rollouts.change(record.id, 'pause', 'admin');
    const again = await rig.restart();
    t.after(() => again.rollouts.drain());
    await again.pass(5000);
    assert.equal(shares(again), 'v1 90, v2 10');
    feed(again, 'shop', 'v1', 100);
    feed(again, 'shop', 'v2', 100, { status: null });
    await again.pass(250);
    assert.equal((await again.rollouts.get(record.id)).record.state, 'stopped');
    assert.equal(shares(again), 'v1 100');
  });

  it('end after a restart when the traffic was moved meanwhile', async (t) => {
    const rig = await openRig(t);
    const { record } = await rig.rollouts.create(request(STEPS, { functions: ['shop', 'cart'] }), 'admin');
    await rig.rollouts.drain();
    await rig.registry.rollback('shop');
    const again = await start(rig.clock, rig.store);
    t.after(() => again.rollouts.drain());
    assert.equal((await again.rollouts.get(record.id)).record.state, 'aborted');
    assert.deepEqual([shares(again, 'shop'), shares(again, 'cart')], ['v1 100', 'v1 100']);
  });

  it('take no step, and begin none, once the gateway drains', async (t) => {
    const rig = await openRig(t);
    await rig.rollouts.create(request(STEPS), 'admin');
    await rig.rollouts.drain();
    rig.clock.advance(10_000);
    assert.equal(shares(rig), 'v1 90, v2 10');
    await assert.rejects(
      rig.rollouts.create(request(STEPS, { functions: ['cart'] }), 'admin'),
      isError('NO_CAPACITY', /not ready/),
    );
  });
});

/** What a gateway does when the feed tells it of everything. */
async function hear({ registry, rollouts }: Rig): Promise<void> {
  await registry.refresh({ functions: ['shop', 'cart'], publications: true });
  await rollouts.refresh(null);
}

async function stored({ store }: Rig, name = 'shop'): Promise<string | undefined> {
  const { functions } = await store.registry.functions([name]);
  return functions[0]?.traffic?.split.map(({ version, percent }) => `${version} ${percent}`).join(', ');
}

describe('rollouts of several gateways on one store', () => {
  async function openTwo(t: TestContext) {
    let leader = 1;
    const clock = new ManualClock(START_MS);
    const reports = ({ kv }: Store, owner: string) => createReports({ kv, owner, now: clock.now });
    const one = await openRig(t, (_registry, store) => ({
      leads: () => leader === 1,
      reports: reports(store, 'one'),
    }));
    const two = await start(clock, one.store, { leads: () => leader === 2, reports: reports(one.store, 'two') });
    t.after(() => two.rollouts.drain());
    return {
      one,
      two,
      lead(which: 1 | 2) {
        leader = which;
        [one, two][which - 1]?.rollouts.lead();
      },
    };
  }

  it('take their steps at the one that leads, and go on at another one with the pause anew', async (t) => {
    const { one, two, lead } = await openTwo(t);
    const { record } = await two.rollouts.create(request(STEPS), 'admin');
    await two.pass(5000);
    assert.equal(await stored(two), 'v1 90, v2 10', 'it does not lead');
    await hear(one);
    assert.ok(one.registry.isRolledOut('shop'));
    await one.pass(1000);
    assert.equal(await stored(one), 'v1 50, v2 50');
    await one.pass(750);
    lead(2);
    await hear(two);
    assert.equal(shares(two), 'v1 50, v2 50');
    await two.pass(750);
    assert.equal(await stored(two), 'v1 50, v2 50');
    await two.pass(500);
    assert.equal(await stored(two), 'v2 100');
    await two.pass(250);
    await hear(one);
    assert.equal((await one.rollouts.get(record.id)).record.state, 'completed');
    assert.ok(!one.registry.isRolledOut('shop'));
    assert.deepEqual([shares(one), one.actions.length], ['v2 100', 1]);
  });

  it('are refused to one that stood still while another went on, whatever it thinks it leads', async (t) => {
    const { one, two, lead } = await openTwo(t);
    const { record } = await one.rollouts.create(request(STEPS), 'admin');
    await hear(two);
    lead(2);
    feed(two, 'shop', 'v1', 100);
    feed(two, 'shop', 'v2', 100, { status: null });
    await two.pass(250);
    assert.equal((await two.rollouts.get(record.id)).record.state, 'stopped');
    // It heard nothing of all that.
    lead(1);
    assert.equal(shares(one), 'v1 90, v2 10');
    await one.pass(1500);
    assert.equal(await stored(one), 'v1 100');
    assert.equal((await one.rollouts.get(record.id)).record.state, 'stopped');
    assert.deepEqual(one.actions, ['admin rollout.create "running" 1/3']);
  });

  it('are changed where somebody asks, once; who asks elsewhere meanwhile is told so', async (t) => {
    const { one, two } = await openTwo(t);
    const { record } = await one.rollouts.create(request([{ percent: 10, confirm: true }, { percent: 100 }]), 'admin');
    await hear(two);
    await two.rollouts.change(record.id, 'confirm', 'admin');
    await assert.rejects(one.rollouts.change(record.id, 'abort', 'admin'), isError('CONFLICT', /changed meanwhile/));
    assert.equal(await stored(one), 'v2 100');
    // Its functions first, as the feed may tell it: nobody but the rollout has moved them.
    await one.registry.refresh({ functions: ['shop'], publications: false });
    await one.pass(250);
    await hear(one);
    assert.equal((await one.rollouts.get(record.id)).record.state, 'completed');
  });

  it('do not take what another gateway has set for what somebody has moved', async (t) => {
    const { one, two } = await openTwo(t);
    const { record } = await one.rollouts.create(request(STEPS), 'admin');
    await hear(two);
    await two.rollouts.change(record.id, 'confirm', 'admin');
    await one.registry.refresh({ functions: ['shop'], publications: false });
    await one.pass(250);
    await hear(one);
    assert.deepEqual((await one.rollouts.get(record.id)).record.state, 'running');
    assert.equal(await stored(one), 'v1 50, v2 50');
    // And the other way round: the record is known, its traffic is not.
    await two.rollouts.change(record.id, 'confirm', 'admin');
    await one.rollouts.refresh([record.id]);
    await one.pass(1000);
    await hear(one);
    assert.equal((await one.rollouts.get(record.id)).record.state, 'completed');
    assert.equal(await stored(one), 'v2 100');
  });

  it('are judged by the calls of all gateways', async (t) => {
    const { one, two } = await openTwo(t);
    const { record } = await one.rollouts.create(
      request([{ percent: 10, pauseSeconds: 3600 }, { percent: 100 }]),
      'admin',
    );
    await hear(two);
    // None of them alone has seen enough.
    const [there, here] = [two, one];
    for (const rig of [there, here]) {
      feed(rig, 'shop', 'v1', 35);
      feed(rig, 'shop', 'v2', 35, { status: null });
    }
    await here.pass(500);
    assert.equal((await here.rollouts.get(record.id)).record.state, 'running');
    await there.pass(1000);
    const look = async () => {
      await here.pass(250);
      return (await here.rollouts.get(record.id)).record;
    };
    let now = await look();
    for (let looks = 0; now.state === 'running' && looks < 1000; looks++) {
      now = await look();
    }
    assert.equal(now.state, 'stopped', JSON.stringify(now));
    assert.match(now.why ?? '', /error rate 100 % \(70 of 70/);
    assert.equal(await stored(here), 'v1 100');
  });

  it('end when somebody moved the traffic at another gateway', async (t) => {
    const { one, two } = await openTwo(t);
    const { record } = await one.rollouts.create(request(STEPS), 'admin');
    await hear(two);
    await two.registry.rollback('shop');
    await hear(one);
    await one.pass(250);
    assert.equal((await one.rollouts.get(record.id)).record.state, 'aborted');
    assert.equal(await stored(one), 'v1 100');
  });
});
