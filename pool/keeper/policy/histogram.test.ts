import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BIN_MS, BINS, IdleHistogram } from './histogram.ts';

const of = (...minutes: number[]) => {
  const histogram = new IdleHistogram();
  for (const minute of minutes) histogram.record(minute * BIN_MS);
  return histogram;
};

test('percentiles fall on the bin in which the share is reached', () => {
  const histogram = of(...Array.from({ length: 100 }, (_, minute) => minute));
  assert.equal(histogram.percentileBin(0.05), 4);
  assert.equal(histogram.percentileBin(0.5), 49);
  assert.equal(histogram.percentileBin(0.99), 98);
  assert.equal(of(30, 30, 30).percentileBin(0.05), 30);
  assert.equal(of(7).percentileBin(0), 7);
});

test('an idle time of four hours is out of range, one just below is in the last bin', () => {
  const histogram = new IdleHistogram();
  histogram.record(BINS * BIN_MS - 1);
  assert.equal(histogram.outOfRange, 0);
  assert.equal(histogram.percentileBin(1), BINS - 1);
  histogram.record(BINS * BIN_MS);
  histogram.record(Number.POSITIVE_INFINITY);
  assert.equal(histogram.samples, 3);
  assert.equal(histogram.outOfRange, 2 / 3);
});

test('an empty histogram has no samples, and an idle time below nothing counts as none', () => {
  const histogram = new IdleHistogram();
  assert.equal(histogram.samples, 0);
  assert.equal(histogram.outOfRange, 0);
  assert.equal(histogram.variation, 0);
  assert.equal(histogram.percentileBin(0.99), 0);
  histogram.record(-5);
  assert.equal(histogram.percentileBin(1), 0);
  assert.equal(histogram.samples, 1);
});

test('counts vary little when all bins hold as many, and much when one holds all', () => {
  const flat = of(...Array.from({ length: BINS }, (_, minute) => minute));
  assert.equal(flat.variation, 0);
  assert.ok(Math.abs(of(30, 30, 30, 30).variation - Math.sqrt(BINS - 1)) < 1e-9);
});

test('what is long past counts less: a new rhythm prevails over one of thousands of samples', () => {
  const histogram = of(...Array.from({ length: 5_000 }, () => 10));
  assert.ok(histogram.samples <= 255);
  for (let count = 0; count < 600; count++) histogram.record(60 * BIN_MS);
  assert.equal(histogram.percentileBin(0.5), 60);
});

test('out of range counts fade as well', () => {
  const histogram = of(...Array.from({ length: 300 }, () => 500));
  assert.equal(histogram.outOfRange, 1);
  for (let count = 0; count < 255; count++) histogram.record(BIN_MS);
  assert.ok(histogram.outOfRange < 0.5);
});
