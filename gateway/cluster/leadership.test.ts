import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import type { LeaseStore } from '../store/api/leases.ts';
import { ManualClock, openStore, SILENT, START_MS } from '../triggers/testing/harness.ts';
import { hold } from './hold.ts';
import { createLeadership, type Leadership } from './leadership.ts';

interface Gateway {
  clock: ManualClock;
  leadership: Leadership;
  begun: number;
  /** Moves its own time on, and lets its calls of the store end. */
  live(ms: number): Promise<void>;
}

async function gatewayOf(owner: string, leases: LeaseStore, clock = new ManualClock(START_MS)): Promise<Gateway> {
  const calls = new Set<Promise<unknown>>();
  const counted: LeaseStore = {
    async take(...args) {
      const call = leases.take(...args);
      calls.add(call.catch(() => undefined));
      return call;
    },
    release: (...args) => leases.release(...args),
  };
  const gateway: Gateway = {
    clock,
    begun: 0,
    leadership: createLeadership({
      name: 'work',
      owner,
      leases: counted,
      begun: () => void gateway.begun++,
      now: clock.now,
      timers: clock,
      log: SILENT,
    }),
    async live(ms) {
      for (let passed = 0; passed < ms; passed += 500) {
        clock.advance(500);
        await Promise.all(calls);
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
  await gateway.leadership.start();
  return gateway;
}

async function two(t: TestContext): Promise<[Gateway, Gateway]> {
  const { leases } = await openStore(t);
  return [await gatewayOf('one', leases), await gatewayOf('two', leases)];
}

describe('leadership', () => {
  it('is one gateway’s as long as it lives, and is given back by a drain', async (t) => {
    const [one, other] = await two(t);
    for (let seconds = 0; seconds < 60; seconds += 5) {
      await one.live(5_000);
      await other.live(5_000);
      assert.deepEqual([one.leadership.leads, other.leadership.leads], [true, false]);
    }
    assert.deepEqual([one.begun, other.begun], [1, 0]);
    await one.leadership.drain();
    assert.equal(one.leadership.leads, false);
    await other.live(3_000);
    assert.deepEqual([other.leadership.leads, other.begun], [true, 1]);
    await other.leadership.drain();
  });

  it('passes to another when it stands still, and it knows when it goes on', async (t) => {
    const [one, other] = await two(t);
    await other.live(15_000);
    assert.ok(other.leadership.leads);
    // Time passed for it too, though nothing was done in it.
    one.clock.jump(15_000);
    assert.equal(one.leadership.leads, false, 'before it has asked anybody');
    await one.live(6_000);
    assert.deepEqual([one.leadership.leads, one.begun], [false, 1]);
    await one.leadership.drain();
    assert.ok(other.leadership.leads);
    await other.leadership.drain();
  });

  it('ends by itself while the store is away, and is had again afterwards', async (t) => {
    const { leases } = await openStore(t);
    let away = false;
    const gateway = await gatewayOf('one', {
      async take(...args) {
        if (away) throw new HearthError('NO_CAPACITY', 'The store is away.');
        return leases.take(...args);
      },
      release: (...args) => leases.release(...args),
    });
    away = true;
    await gateway.live(6_000);
    assert.ok(gateway.leadership.leads);
    await gateway.live(6_000);
    assert.equal(gateway.leadership.leads, false);
    away = false;
    await gateway.live(3_000);
    assert.deepEqual([gateway.leadership.leads, gateway.begun], [true, 2]);
    await gateway.leadership.drain();
  });
});

describe('a lease that is held for one piece of work', () => {
  it('is refused to others until it is released, or its holder stands still', async (t) => {
    const { leases } = await openStore(t);
    const clock = new ManualClock(START_MS);
    const parts = { leases, now: clock.now, timers: clock, log: SILENT };
    const mine = await hold('base:default', { ...parts, owner: 'one' });
    assert.ok(mine !== null);
    assert.equal(await hold('base:default', { ...parts, owner: 'two' }), null);
    assert.ok(await mine.isStillHeld());
    await mine.release();
    const next = await hold('base:default', { ...parts, owner: 'two' });
    assert.ok(next !== null);
    clock.jump(10_000);
    const third = await hold('base:default', { ...parts, owner: 'three' });
    assert.ok(third !== null);
    assert.equal(await next.isStillHeld(), false);
    await next.release();
    assert.ok(await third.isStillHeld());
    await third.release();
  });
});
