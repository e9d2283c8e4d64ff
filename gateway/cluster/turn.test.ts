import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import type { Changed } from '../registry/registry.ts';
import type { Change } from '../store/api/changes.ts';
import { ManualClock, START_MS } from '../triggers/testing/harness.ts';
import { createClusterTurn } from './turn.ts';

/** A store's leases and changes in memory, for gateways of these names. */
function rig() {
  const clock = new ManualClock(START_MS);
  const changes: Change[] = [];
  let trimmed = 0;
  let holder: { owner: string; until: number } | null = null;
  const leases = {
    async take(_: string, owner: string, nowMs: number, until: number) {
      if (holder !== null && holder.owner !== owner && holder.until > nowMs) return null;
      holder = { owner, until };
      return { fence: 1 };
    },
    async release(_: string, owner: string) {
      if (holder?.owner === owner) holder = null;
    },
  };
  const feed = {
    since: async (position: number | null) => ({
      changes: (position ?? 0) < trimmed ? null : changes.slice(position ?? 0),
      position: changes.length,
    }),
    revisions: async () => new Map([['stored', '1']]),
  };
  const gateway = (owner: string) => {
    const turn = createClusterTurn({ changes: feed, leases, owner, now: clock.now, timers: clock });
    const caughtUp: Changed[] = [];
    return {
      caughtUp,
      turn: <Result>(change: () => Promise<Result>) => turn(async (changed) => void caughtUp.push(changed), change),
    };
  };
  return {
    clock,
    changes,
    gateway,
    trim: () => {
      trimmed = changes.length;
    },
    holder: () => holder?.owner ?? null,
    occupy(owner: string, until: number) {
      holder = { owner, until };
    },
    rest: () => new Promise((resolve) => setImmediate(resolve)),
  };
}

test('a change begins with what others have changed since the last one, each once', async () => {
  const { changes, gateway } = rig();
  const { turn, caughtUp } = gateway('a');
  changes.push({ kind: 'function', name: 'shop' }, { kind: 'token', name: 't' });
  await turn(async () => void changes.push({ kind: 'publication', name: 'web' }));
  await turn(async () => undefined);
  assert.deepEqual(caughtUp, [
    { functions: ['shop'], publications: false },
    { functions: [], publications: true },
  ]);
});

test('what is not known any more is everything', async () => {
  const { changes, gateway, trim } = rig();
  const { turn, caughtUp } = gateway('a');
  changes.push({ kind: 'function', name: 'shop' });
  trim();
  await turn(async () => undefined);
  assert.deepEqual(caughtUp, [{ functions: ['stored'], publications: true }]);
});

test('one waits while another changes, and comes when that has ended, failed or not', async () => {
  const { clock, gateway, rest, holder } = rig();
  const [a, b] = [gateway('a'), gateway('b')];
  const { promise, reject } = Promise.withResolvers<void>();
  const failing = a.turn(() => promise);
  await rest();
  const order: string[] = [];
  const second = b.turn(async () => void order.push('b'));
  await rest();
  clock.advance(100);
  assert.deepEqual(order, []);
  reject(new Error('not committed'));
  await assert.rejects(failing, /not committed/);
  clock.advance(10);
  await second;
  assert.deepEqual([order, holder()], [['b'], null]);
});

test('one that died in its turn holds nobody up for longer than its lease', async () => {
  const { clock, gateway, rest } = rig();
  const [a, b] = [gateway('a'), gateway('b')];
  a.turn(() => new Promise(() => undefined)).catch(() => undefined);
  await rest();
  const second = b.turn(async () => 'done');
  await rest();
  clock.advance(10_000);
  assert.equal(await second, 'done');
});

test('where the turn does not come the change is refused, and was not made', async () => {
  const { clock, gateway, rest, occupy } = rig();
  occupy('another', Number.POSITIVE_INFINITY);
  const made: string[] = [];
  let refused: unknown = null;
  gateway('b')
    .turn(async () => void made.push('b'))
    .catch((error: unknown) => {
      refused = error;
    });
  for (let ms = 0; ms <= 15_000; ms += 10) {
    assert.equal(refused, null);
    await rest();
    clock.advance(10);
  }
  await rest();
  assert.ok(refused instanceof HearthError);
  assert.deepEqual([refused.code, made], ['NO_CAPACITY', []]);
});
