import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSlots } from './slots.ts';

const LEASE_MS = 10_000;

/** Gateways of these names and what holds whose slot, on a clock moved by hand. */
function rig() {
  const holders = new Map<string, { owner: string; until: number }>();
  const clock = { ms: 0 };
  const leases = {
    async take(name: string, owner: string, nowMs: number, until: number) {
      const holder = holders.get(name);
      if (holder !== undefined && holder.owner !== owner && holder.until > nowMs) return null;
      holders.set(name, { owner, until });
      return { fence: 1 };
    },
    async release(name: string, owner: string) {
      if (holders.get(name)?.owner === owner) holders.delete(name);
    },
  };
  const gateway = (owner: string) => createSlots({ queue: 'q', leases, owner, now: () => clock.ms, leaseMs: LEASE_MS });
  return { a: gateway('a'), b: gateway('b'), clock, taken: () => holders.size };
}

test('two gateways never hold more of them together than there are', async () => {
  const { a, b, taken } = rig();
  assert.equal(await a.have(2, 3), 2);
  assert.equal(await b.have(2, 3), 1);
  assert.equal(await a.have(3, 3), 2);
  assert.equal(taken(), 3);
});

test('what one gives back another takes', async () => {
  const { a, b, taken } = rig();
  await a.have(2, 2);
  assert.equal(await b.have(1, 2), 0);
  assert.equal(await a.have(1, 2), 1);
  assert.equal(await b.have(1, 2), 1);
  await a.have(0, 2);
  await b.have(0, 2);
  assert.equal(taken(), 0);
});

test('where there are fewer of them than before, those above are given back', async () => {
  const { a, b, taken } = rig();
  await a.have(1, 3);
  assert.equal(await b.have(2, 3), 2);
  assert.equal(await b.have(2, 2), 1);
  assert.equal(taken(), 2);
});

test('one that is not heard of loses its own after their lease, one that lengthens them does not', async () => {
  const { a, b, clock } = rig();
  await a.have(1, 1);
  clock.ms += LEASE_MS - 1;
  await a.extend();
  clock.ms += LEASE_MS - 1;
  assert.equal(await b.have(1, 1), 0);
  clock.ms += 1;
  assert.equal(await b.have(1, 1), 1);
  await a.extend();
  assert.equal(await a.have(1, 1), 0);
});
