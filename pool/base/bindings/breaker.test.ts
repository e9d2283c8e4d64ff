import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Breaker, CircuitOpenError } from './breaker.ts';

const SETTINGS = { failures: 3, windowSeconds: 10, openSeconds: 5 };

function rig() {
  const clock = { ms: 1000 };
  const breaker = new Breaker('PAY', SETTINGS, () => clock.ms);
  let called = 0;
  const call = async (outcome: 'ok' | 'bad' | 'throws'): Promise<string> => {
    try {
      return await breaker.run(
        async () => {
          called++;
          if (outcome === 'throws') throw new Error('down');
          return outcome;
        },
        (result) => result === 'bad',
      );
    } catch (error) {
      if (error instanceof CircuitOpenError) return `open ${error.retryAfterMs}`;
      return 'threw';
    }
  };
  return { clock, breaker, call, called: () => called };
}

test('a breaker opens after so many failures within its window, and calls nothing while it is open', async () => {
  const { clock, call, called } = rig();
  assert.deepEqual([await call('throws'), await call('bad'), await call('ok')], ['threw', 'bad', 'ok']);
  clock.ms += 10_000;
  assert.deepEqual([await call('bad'), await call('bad')], ['bad', 'bad'], 'the first two were too long ago');
  assert.equal(await call('throws'), 'threw');
  assert.equal(await call('ok'), 'open 5000');
  clock.ms += 4_999;
  assert.equal(await call('ok'), 'open 1');
  assert.equal(called(), 6);
});

test('one call alone is tried then: it closes the breaker, or opens it again', async () => {
  const { clock, breaker, call } = rig();
  for (let i = 0; i < 3; i++) await call('bad');
  clock.ms += 5_000;
  assert.equal(await call('bad'), 'bad');
  assert.equal(await call('ok'), 'open 5000');
  clock.ms += 5_000;
  const answer = Promise.withResolvers<string>();
  const trial = breaker.run(
    () => answer.promise,
    () => false,
  );
  assert.match(await call('ok'), /^open/);
  answer.resolve('ok');
  assert.equal(await trial, 'ok');
  assert.deepEqual([await call('bad'), await call('bad'), await call('ok')], ['bad', 'bad', 'ok'], 'it counts anew');
});

test('what was begun before a breaker opened changes nothing when it ends', async () => {
  const { clock, breaker, call } = rig();
  const late = Promise.withResolvers<string>();
  const early = breaker.run(
    () => late.promise,
    (result) => result === 'bad',
  );
  for (let i = 0; i < 3; i++) await call('bad');
  clock.ms += 3_000;
  late.resolve('bad');
  await early;
  assert.equal(await call('ok'), 'open 2000');
});
