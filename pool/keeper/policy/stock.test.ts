import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LeaseDemand, mayBoot, stockCeiling, stockTarget, surplusStep } from './stock.ts';

/** Leases at this rate for so long, from `fromMs` on. Returns when the last one was. */
function lease(demand: LeaseDemand, perSecond: number, forMs: number, fromMs = 0): number {
  const count = Math.round((perSecond * forMs) / 1000);
  for (let n = 0; n < count; n++) demand.leased(fromMs + (n * 1000) / perSecond);
  return fromMs + ((count - 1) * 1000) / perSecond;
}

function boots(demand: LeaseDemand, ms: number): void {
  for (let n = 0; n < 40; n++) demand.booted(ms);
}

const target = (expected: number, floor = 8, ceiling = 1000) => stockTarget({ expected, floor, ceiling });

test('leases at a rate are expected as rate times boot time', () => {
  for (const [perSecond, bootMs] of [
    [100, 100],
    [50, 400],
    [1000, 60],
  ] as const) {
    const demand = new LeaseDemand();
    boots(demand, bootMs);
    const last = lease(demand, perSecond, 3_000);
    const wanted = (perSecond * bootMs) / 1000;
    const expected = demand.expected(last);
    assert.ok(expected >= wanted && expected <= wanted + 1, `${expected} of ${wanted}`);
  }
});

test('a burst that no boot can follow is expected whole', () => {
  const demand = new LeaseDemand();
  for (let n = 0; n < 40; n++) demand.leased(1_000);
  assert.equal(demand.expected(1_000), 40);
});

test('the target is what is expected and a margin for chance, which grows more slowly', () => {
  assert.equal(target(16), 16 + 8);
  assert.equal(target(100), 100 + 20);
});

test('the target keeps to its floor and its ceiling, and the floor is the stronger', () => {
  assert.equal(target(0), 8);
  assert.equal(target(2), 8);
  assert.equal(target(500, 8, 60), 60);
  assert.equal(target(500, 8, 3), 8);
  assert.equal(target(500, 8, -20), 8);
});

test('who wants no stock gets none whatever is leased', () => {
  assert.equal(target(100, 0), 0);
});

test('it rises with the first burst and falls by half in a minute', () => {
  const demand = new LeaseDemand();
  const last = lease(demand, 400, 1_000);
  const high = demand.expected(last);
  assert.ok(target(high) > 40);
  assert.ok(Math.abs(demand.expected(last + 60_000) - high / 2) < 1e-9);
  assert.equal(target(demand.expected(last + 600_000)), 8);
});

test('a few leases after a burst neither hold the target up nor let it fall at once', () => {
  const demand = new LeaseDemand();
  const last = lease(demand, 400, 1_000);
  const high = demand.expected(last);
  demand.leased(last + 30_000);
  const later = demand.expected(last + 60_000);
  assert.ok(Math.abs(later - high / 2) < 1e-9, `${later} of ${high}`);
});

test('a definition of which nothing was leased expects nothing, at any time', () => {
  const demand = new LeaseDemand();
  assert.equal(demand.expected(0), 0);
  assert.equal(demand.expected(1e9), 0);
  demand.booted(200);
  assert.equal(demand.expected(5), 0);
});

test('slower boots need more stock for the same leases', () => {
  const quick = new LeaseDemand();
  const slow = new LeaseDemand();
  boots(quick, 60);
  boots(slow, 600);
  assert.ok(slow.expected(lease(slow, 50, 3_000)) > 5 * quick.expected(lease(quick, 50, 3_000)));
});

test('a boot on an overloaded machine counts no more than a second', () => {
  const demand = new LeaseDemand();
  boots(demand, 3_600_000);
  const expected = demand.expected(lease(demand, 10, 20_000));
  assert.ok(expected > 10 && expected <= 11, String(expected));
});

test('stock beyond its floor fills memory up to half of what hosts may use', () => {
  assert.equal(stockCeiling({ memoryMb: 2_000, usedMb: 400, stock: 8 }), 8 + 30);
  assert.equal(stockCeiling({ memoryMb: 2_000, usedMb: 1_000, stock: 20 }), 20);
  assert.ok(stockCeiling({ memoryMb: 2_000, usedMb: 1_800, stock: 8 }) < 0);
});

test('nothing is booted for stock while requests wait for a core, unless there is none', () => {
  const view = { warm: 1, target: 8, awaited: false, requestsWait: true, burstMs: null };
  assert.equal(mayBoot(view), false);
  assert.equal(mayBoot({ ...view, warm: 0 }), true);
  assert.equal(mayBoot({ ...view, awaited: true }), true);
  assert.equal(mayBoot({ ...view, requestsWait: false }), true);
});

test('when leases go on coming nothing is booted until a quarter of the stock is left', () => {
  const view = { warm: 3, target: 8, awaited: false, requestsWait: false, burstMs: 300 };
  assert.equal(mayBoot(view), false);
  assert.equal(mayBoot({ ...view, warm: 2 }), true);
});

test('a burst has the cores to itself as long as nobody waits for a base, even when it took the last one', () => {
  const view = { warm: 0, target: 8, awaited: false, requestsWait: false, burstMs: 100 };
  assert.equal(mayBoot(view), false);
  assert.equal(mayBoot({ ...view, awaited: true }), true);
  assert.equal(mayBoot({ ...view, burstMs: 300 }), true);
});

test('a surplus goes in steps', () => {
  assert.deepEqual([-3, 0, 1, 8, 9, 80].map(surplusStep), [0, 0, 1, 1, 2, 10]);
});
