/** What real hosts seldom come to; with them it is named-pools.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Base } from '../hosts/base.ts';
import type { HostProcess } from '../hosts/host-process.ts';
import { LENT_IDLE_MS } from '../policy/lend.ts';
import { Pools } from '../pools.ts';
import { Lending, type Occupant } from './lending.ts';

const DEFAULT = { name: 'default', shared: [], setupPath: null, env: {} };

function world(occupants: Occupant[] = []) {
  const clock = { ms: 0 };
  const told: string[] = [];
  const host = {
    ...{ id: 'host-1', definition: DEFAULT, state: 'running', pool: 'buffer', stuck: false, leased: 0 },
    ...{ lentBy: null as string | null, binding: null as object | null },
  };
  const state = { bases: ['warm', 'warm'], room: 0 };
  const real = host as unknown as HostProcess;
  const lending = new Lending({
    roster: {
      hosts: [real],
      get bases() {
        return state.bases.map((of) => ({ state: of, host: real }) as Base);
      },
      host: (id) => (id === host.id ? real : undefined),
    },
    leaving: {
      assign(_host, pool, lentBy, what, why) {
        Object.assign(host, { pool, lentBy });
        told.push(`${what}: ${why}`);
      },
      vacate: (_host, what) => void told.push(`${what} by its end`),
    },
    pools: new Pools({
      maxBases: 10,
      memoryMb: 1_000,
      basesPerHost: 4,
      pools: { default: { maxBases: 4, memoryMb: 400 }, buffer: { maxBases: 4, memoryMb: 400 }, batch: {} },
    }),
    occupants: () => occupants,
    room: () => state.room,
    clock: () => clock.ms,
  });
  const need = { pool: 'batch', definition: DEFAULT, bases: 1, borrowed: 0 };
  return { lending, host, told, clock, state, lend: () => lending.lend([need]) };
}

test('what nobody took in a lent host goes back as it is', () => {
  const { lending, host, told, clock, lend } = world();
  assert.equal(lend(), true);
  assert.equal(lend(), false);
  assert.deepEqual([host.pool, host.lentBy], ['batch', 'buffer']);
  clock.ms += LENT_IDLE_MS - 1;
  lending.sweep();
  assert.equal(host.pool, 'batch');
  clock.ms += 1;
  lending.sweep();
  assert.deepEqual([host.pool, host.lentBy], ['buffer', null]);
  assert.deepEqual(told.slice(1), ['returned: from "batch" as it is: idle for 10 s']);
});

test('a part of the memory goes over with the bases, and comes back', () => {
  const { lending, clock, lend } = world();
  const memory = () => ['default', 'buffer', 'batch'].map((pool) => lending.memoryMb(pool));
  assert.deepEqual(memory(), [400, 400, 200]);
  lend();
  assert.deepEqual(memory(), [400, 200, 400]);
  assert.deepEqual([lending.borrowed('batch'), lending.lent('buffer')], [2, 2]);
  clock.ms += LENT_IDLE_MS;
  lending.sweep();
  assert.deepEqual(memory(), [400, 400, 200]);
});

test('a call that runs keeps a lent host; an instance that is needed stays as long as its pool has no room', () => {
  const drained: string[] = [];
  const occupant: Occupant = { busy: true, usedAt: 0, needed: true, drain: (why) => void drained.push(why) };
  const { lending, host, told, clock, state, lend } = world([occupant]);
  lend();
  Object.assign(host, { binding: {}, leased: 1 });
  const pass = () => {
    clock.ms += LENT_IDLE_MS;
    lending.sweep();
  };
  pass();
  occupant.usedAt = clock.ms;
  occupant.busy = false;
  pass();
  assert.deepEqual(drained, []);
  state.room = 1;
  pass();
  assert.deepEqual(drained, ['idle for 10 s in a host that is lent']);
  assert.equal(told.length, 1);
  host.leased = 0;
  lending.sweep();
  assert.deepEqual(told.slice(1), ['returned by its end']);
});

test('nothing is lent of a host that is bound, stuck or without a warm base', () => {
  for (const spoil of [{ binding: {} }, { stuck: true }, { pool: 'default' }]) {
    const { host, lend } = world();
    Object.assign(host, spoil);
    assert.equal(lend(), false, JSON.stringify(spoil));
  }
  const { state, lend } = world();
  state.bases = ['booting', 'leased'];
  assert.equal(lend(), false);
});
