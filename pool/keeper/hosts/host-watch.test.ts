import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allowedBytes, HostWatch, LOOK_MS, type Pressure, pressureOf, type WatchedHost } from './host-watch.ts';

const MB = 2 ** 20;

class FakeHost implements WatchedHost {
  pool = 'default';
  mb = 100;
  sharedMb = 40;
  /** Since when it owes an answer; null: it answers. */
  owesSince: number | null = null;
  killedFor: string | null = null;
  resident() {
    return { bytes: this.mb * MB, sharedBytes: this.sharedMb * MB };
  }
  ping(now: number) {
    return this.owesSince === null ? 0 : now - this.owesSince;
  }
  forgive(now: number) {
    if (this.owesSince !== null) this.owesSince = now;
  }
  kill(why: string, culprit: string | null) {
    this.killedFor = `${culprit}: ${why}`;
  }
}

function watched(hosts: FakeHost[], memoryMb = 1_000_000, pools = ['default']) {
  let now = 10_000;
  const levels: Pressure[] = [];
  const byPool = new Map<string, Pressure>();
  const evictedFrom: string[] = [];
  const watch = new HostWatch({
    hosts: () => hosts,
    limitsMb: () => [128, null],
    suspect: () => 'base-1',
    pools: () => pools.map((name) => ({ name, memoryBytes: memoryMb * MB })),
    pressure: (pool, level) => {
      levels.push(level);
      byPool.set(pool, level);
    },
    evict: (pool) => {
      evictedFrom.push(pool);
      return true;
    },
    now: () => now,
  });
  const pass = (ms: number, step = LOOK_MS) => {
    for (let gone = 0; gone < ms; gone += step) {
      now += step;
      watch.look();
    }
  };
  return { pass, levels, byPool, evictedFrom, evicted: () => evictedFrom.length, now: () => now };
}

test('a host that takes more than its bases together may take is killed on account of who is at work there', () => {
  const [well, over] = [new FakeHost(), new FakeHost()];
  const { pass } = watched([well, over]);
  over.mb = allowedBytes([128, null]) / MB;
  pass(LOOK_MS);
  assert.equal(over.killedFor, null);
  over.mb++;
  pass(LOOK_MS);
  assert.match(over.killedFor ?? '', /^base-1: it takes \d+ MB/);
  assert.equal(well.killedFor, null);
});

test('a host that owes an answer for too long is killed, but not when the gateway itself stood still', () => {
  const host = new FakeHost();
  const { pass, now } = watched([host]);
  host.owesSince = now();
  // Each look comes far too late.
  pass(60_000, 2_000);
  assert.equal(host.killedFor, null);
  pass(10_000);
  assert.match(host.killedFor ?? '', /answered nothing/);
});

test('shared pages count once, and pressure rises and falls with what is used', () => {
  const hosts = [new FakeHost(), new FakeHost(), new FakeHost()];
  const { pass, levels, evicted } = watched(hosts, 300);
  pass(LOOK_MS);
  // 3 × 60 MB of their own and 40 MB once.
  assert.deepEqual(levels, ['none']);
  for (const host of hosts) host.mb = 120;
  pass(LOOK_MS);
  assert.equal(evicted(), 1);
  for (const host of hosts) host.mb = 140;
  pass(LOOK_MS);
  for (const host of hosts) host.mb = 100;
  pass(LOOK_MS);
  assert.deepEqual(levels, ['none', 'stock', 'full', 'none']);
  assert.equal(evicted(), 2);
});

test('each pool is judged by its own hosts: one that runs short is evicted from, the other is left alone', () => {
  const [well, short] = [new FakeHost(), new FakeHost()];
  short.pool = 'batch';
  short.mb = 220;
  const { pass, byPool, evictedFrom } = watched([well, short], 200, ['default', 'batch', 'empty']);
  pass(LOOK_MS);
  assert.deepEqual(Object.fromEntries(byPool), { default: 'none', batch: 'full', empty: 'none' });
  assert.deepEqual(evictedFrom, ['batch']);
});

test('pressure by shares of the limit', () => {
  assert.equal(pressureOf(80, 100), 'none');
  assert.equal(pressureOf(81, 100), 'stock');
  assert.equal(pressureOf(100, 100), 'stock');
  assert.equal(pressureOf(101, 100), 'full');
});
