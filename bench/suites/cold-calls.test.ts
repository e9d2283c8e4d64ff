import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addsUp, phaseSum, readServerTiming } from './cold-calls.ts';

test('server-timing is read into phases, and their sum is the time inside Hearth', () => {
  const phases = readServerTiming('wait;dur=0.5, acquire;dur=0.1, run;dur=1.25');
  assert.deepEqual(phases, { wait: 0.5, acquire: 0.1, run: 1.25 });
  assert.equal(phaseSum({ phases }), 1.85);
  assert.deepEqual(readServerTiming(''), {});
});

test('phases add up within 0.3 ms of a short call and within a tenth of a long one', () => {
  assert.equal(addsUp({ clientMs: 1.29, phases: { run: 1 } }), true);
  assert.equal(addsUp({ clientMs: 1.31, phases: { run: 1 } }), false);
  assert.equal(addsUp({ clientMs: 20, phases: { run: 18 } }), true);
  assert.equal(addsUp({ clientMs: 20, phases: { run: 17.9 } }), false);
  assert.equal(addsUp({ clientMs: 1, phases: { run: 1.31 } }), false, 'more than the client saw is as wrong');
});
