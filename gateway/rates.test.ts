import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createRates, RateTable } from './rates.ts';

const RATE = { limit: 3, periodMs: 1000 };

describe('a rate', () => {
  it('lets so many through in a period, each key for itself', () => {
    const table = new RateTable(RATE);
    assert.deepEqual(
      ['a', 'a', 'a', 'b', 'a', 'b'].map((key) => table.take(key, 5_000) === 0),
      [true, true, true, true, false, true],
    );
  });

  it('never lets through more than twice of it in any period, and once on average, and says when to come again', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 700 }), { maxLength: 200 }), (gaps) => {
        const table = new RateTable(RATE);
        const taken: number[] = [];
        let at = 1_000_000;
        for (const gap of gaps) {
          at += gap;
          const waitMs = table.take('k', at);
          if (waitMs === 0) taken.push(at);
          else {
            assert.ok(waitMs > 0 && waitMs <= 2 * RATE.periodMs, `${waitMs}`);
            at += Math.ceil(waitMs);
            assert.equal(table.take('k', at), 0, 'it had said so');
            taken.push(at);
          }
        }
        for (const start of taken) {
          const within = taken.filter((each) => each >= start && each < start + RATE.periodMs).length;
          assert.ok(within <= 2 * RATE.limit, `${within} in one period`);
        }
      }),
    );
  });

  it('forgets a key that was not used for two periods, and goes on with a clock that is set back', () => {
    const table = new RateTable(RATE);
    for (let i = 0; i < 5; i++) table.take('a', 10_000);
    assert.equal(table.keys, 1);
    assert.equal(table.take('b', 13_000), 0);
    assert.equal(table.keys, 1);
    for (let i = 0; i < 3; i++) assert.equal(table.take('c', 4_000), 0);
    assert.notEqual(table.take('c', 4_000), 0);
  });

  it('holds a bounded number of keys, of one table and of all of a trust group', () => {
    const table = new RateTable(RATE);
    for (let i = 0; i < 50_000; i++) table.take(`k${i}`, 5_000);
    assert.ok(table.keys <= 20_000, `${table.keys}`);
    const rates = createRates(() => 5_000);
    for (let i = 0; i < 3; i++) rates.take('mine', 'kept', RATE, 'a');
    for (let t = 0; t < 10; t++) for (let i = 0; i < 9_000; i++) rates.take('other', `t${t}`, RATE, `k${i}`);
    assert.notEqual(rates.take('mine', 'kept', RATE, 'a'), 0, 'a flood of another trust group changes nothing');
    for (let i = 0; i < 3; i++) assert.equal(rates.take('other', 't0', RATE, 'k1'), 0, 'the oldest was forgotten');
  });

  it('counts tables, rates and trust groups apart', () => {
    const rates = createRates(() => 5_000);
    const one = { limit: 1, periodMs: 1000 };
    assert.equal(rates.take('g', 't', one, 'a'), 0);
    assert.notEqual(rates.take('g', 't', one, 'a'), 0);
    assert.equal(rates.take('g', 'u', one, 'a'), 0);
    assert.equal(rates.take('h', 't', one, 'a'), 0);
    assert.equal(rates.take('g', 't', { ...one, limit: 2 }, 'a'), 0);
  });
});
