import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COLLECT, makeGauge, PING, PONG, RUNNING } from './gauge.ts';
import { Meter } from './meter.ts';

test('a call that begins shows that the loop has turned, were the host waiting to see it', () => {
  const gauge = makeGauge();
  const meter = new Meter({ gauge, wake: makeGauge() });
  gauge[PING] = 7;
  meter.enter();
  assert.equal(gauge[PONG], 7);
  assert.equal(gauge[RUNNING], 1);
  meter.leave();
  assert.equal(gauge[RUNNING], 0);
});

test('while garbage is to be collected first, only the answer that follows it counts', () => {
  const gauge = makeGauge();
  const meter = new Meter({ gauge, wake: makeGauge() });
  gauge[PING] = 7;
  gauge[COLLECT] = 1;
  meter.enter();
  assert.equal(gauge[PONG], 0);
});
