import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KILLS, QUARANTINE_MS, Quarantine, WITHIN_MS } from './quarantine.ts';

test('as many kills as it takes, within the time, put a key in quarantine for its time, and no other key', () => {
  const quarantine = new Quarantine();
  for (let n = 1; n < KILLS; n++) assert.equal(quarantine.killed('f@1+0', 'memory', 1_000 * n), false);
  assert.equal(quarantine.refusal('f@1+0', 5_000), null);
  assert.equal(quarantine.killed('f@1+0', 'memory', 10_000), true);
  const refusal = quarantine.refusal('f@1+0', 10_000);
  assert.equal(refusal?.code, 'OVERLOADED');
  assert.equal(refusal?.retryAfterS, QUARANTINE_MS / 1000);
  assert.equal(quarantine.refusal('f@2+0', 10_000), null);
  assert.deepEqual(quarantine.expired(10_000 + QUARANTINE_MS - 1), []);
  assert.equal(quarantine.refusal('f@1+0', 10_000 + QUARANTINE_MS), null);
  assert.deepEqual(quarantine.expired(10_000 + QUARANTINE_MS), ['f@1+0']);
  assert.deepEqual(quarantine.expired(10_000 + QUARANTINE_MS), []);
});

test('kills that lie further apart do not', () => {
  const quarantine = new Quarantine();
  for (let n = 0; n < 10; n++) assert.equal(quarantine.killed('f@1+0', 'memory', n * (WITHIN_MS / 2 + 1)), false);
});

test('lifting says what there was to lift, and kills count anew', () => {
  const quarantine = new Quarantine();
  assert.deepEqual(quarantine.lift('f@1+0'), []);
  for (let n = 0; n < KILLS; n++) quarantine.killed('f@1+0', 'memory', n);
  assert.deepEqual(quarantine.lift('f@1+0'), ['f@1+0']);
  assert.equal(quarantine.refusal('f@1+0', KILLS), null);
  assert.equal(quarantine.killed('f@1+0', 'memory', KILLS), false);
});

test('the parts of a version are lifted with it, those of others are not', () => {
  const quarantine = new Quarantine();
  const [part, near, other] = ['f@1+0/web/batch', 'f@1+0/web/tagged', 'f@1+01/web/batch'];
  for (let n = 0; n < KILLS; n++) for (const key of [part, other]) quarantine.killed(key, 'memory', n);
  quarantine.killed(near, 'memory', KILLS);
  assert.deepEqual(quarantine.liftParts('f@1+0'), [part], 'the other was only near it');
  assert.equal(quarantine.refusal(part, KILLS), null);
  assert.notEqual(quarantine.refusal(other, KILLS), null);
  for (let n = 1; n < KILLS; n++) assert.equal(quarantine.killed(near, 'memory', KILLS), false);
});
