import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Evidence, learned, NO_EVIDENCE, usesPerHour, weightOf, worthwhileMs } from './worth.ts';

const HOUR = 3_600_000;
const PRIOR = { uses: 0.5, idleMs: HOUR / 2, halveAt: 8 };
const after = (...hours: number[]) =>
  hours.reduce((sum: Evidence, each) => learned(sum, each * HOUR, true, PRIOR), NO_EVIDENCE);

test('what is used each hour is expected about once an hour, and less the longer it stands idle', () => {
  const evidence = after(1, 1, 1, 1, 1);
  assert.equal(usesPerHour(evidence, PRIOR, 0), 1);
  assert.equal(usesPerHour(evidence, PRIOR, 5.5 * HOUR), 0.5);
  assert.equal(usesPerHour(NO_EVIDENCE, PRIOR, -1), 1);
});

test('it is worthwhile exactly until what it spares is what its memory costs', () => {
  const evidence = after(1, 2);
  for (const over of [{}, { memoryMb: 10 }, { weight: 3 }, { price: 0.01 }]) {
    const terms = { weight: 1, memoryMb: 50, price: 0.002, ...over };
    const gain = terms.weight * usesPerHour(evidence, PRIOR, worthwhileMs(evidence, PRIOR, terms));
    assert.ok(worthwhileMs(evidence, PRIOR, terms) < 0 || Math.abs(gain / terms.memoryMb - terms.price) < 1e-9);
  }
});

test('a small one is kept longer than a large one, and one that is not worth its memory not at all', () => {
  const keep = (memoryMb: number) => worthwhileMs(after(1, 1), PRIOR, { weight: 1, memoryMb, price: 0.01 });
  assert.ok(keep(16) > keep(32) && keep(32) > 0);
  assert.ok(keep(1_000) < 0);
  assert.ok(Number.isFinite(keep(0)));
});

test('what is long past counts less: a new rate prevails after some uses', () => {
  const evidence = after(...Array.from({ length: 200 }, () => 0.01), ...Array.from({ length: 16 }, () => 10));
  assert.ok(usesPerHour(evidence, PRIOR, 0) < 0.25);
  assert.ok(evidence.uses < PRIOR.halveAt);
});

test('an idle time that something else ended counts as time and not as use, and none is below nothing', () => {
  assert.deepEqual(learned(after(1), 3 * HOUR, false, PRIOR), { uses: 1, idleMs: 4 * HOUR });
  assert.deepEqual(learned(NO_EVIDENCE, -5, true, PRIOR), { uses: 1, idleMs: 0 });
});

test('a cold start counts more with who is called rarely and found cold often, within bounds', () => {
  assert.ok(weightOf(0.25, 10) > weightOf(0.25, 20));
  assert.ok(weightOf(0.2, 20) > weightOf(0.1, 20));
  assert.ok(weightOf(0.001, 10_000) < 1.001);
  assert.equal(weightOf(0, 5), 1);
  assert.equal(weightOf(1, 0), weightOf(1, 1e-3));
});
