import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { nextRun, readSchedule } from './cron.ts';
import { allDays, type Days, dueCases, dueWithin } from './testing/cron-model.ts';

/** Cases are the same each time; bench/soak looks for others. */
const SEED = 20_261_120;
const CASES = 10_000;
/** Due times asked for in each. */
const MOST = 12;

describe('due times', () => {
  it('are those that a walk through every minute finds, over zones, expressions and days on which clocks are set', () => {
    const around = allDays();
    const property = fc.property(dueCases(around), ({ days: index, share, expression }) => {
      const days = around[index] as Days;
      const afterMs = Math.floor(days.fromMs + share * (days.toMs - days.fromMs));
      const expected = dueWithin(days, expression, afterMs, MOST);
      const schedule = readSchedule(expression.text, days.zone);
      const found: number[] = [];
      let next = schedule.next(afterMs);
      while (next !== null && next < days.toMs && found.length < MOST) {
        found.push(next);
        next = schedule.next(next);
      }
      assert.deepEqual(found.map(iso), expected.map(iso), `${expression.text} in ${days.zone} after ${iso(afterMs)}`);
    });
    fc.assert(property, { numRuns: CASES, seed: SEED });
  });

  const due = (expression: string, zone: string, after: string, count: number) => {
    const times: string[] = [];
    let at: number | null = Date.parse(after);
    for (let i = 0; i < count && at !== null; i++) {
      at = nextRun(expression, zone, at);
      if (at !== null) times.push(iso(at));
    }
    return times;
  };

  it('leave out a time that does not exist, and the day with it', () => {
    assert.deepEqual(due('30 2 * * *', 'Europe/Berlin', '2026-03-28T12:00:00Z', 2), [
      '2026-03-30T00:30:00.000Z',
      '2026-03-31T00:30:00.000Z',
    ]);
    assert.deepEqual(due('0 0 * * *', 'America/Havana', '2026-03-07T12:00:00Z', 1), ['2026-03-09T04:00:00.000Z']);
  });

  it('have a time that there is twice once, the first time', () => {
    assert.deepEqual(due('30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00:00Z', 2), [
      '2026-10-25T00:30:00.000Z',
      '2026-10-26T01:30:00.000Z',
    ]);
    assert.deepEqual(due('*/20 2 * * *', 'Europe/Berlin', '2026-10-24T23:59:00Z', 4), [
      '2026-10-25T00:00:00.000Z',
      '2026-10-25T00:20:00.000Z',
      '2026-10-25T00:40:00.000Z',
      '2026-10-26T01:00:00.000Z',
    ]);
  });

  it('go on through both passes of an hour when the expression is of every hour, and lose nothing over a missing one', () => {
    assert.deepEqual(due('*/30 * * * *', 'Europe/Berlin', '2026-10-24T23:59:00Z', 5), [
      '2026-10-25T00:00:00.000Z',
      '2026-10-25T00:30:00.000Z',
      '2026-10-25T01:00:00.000Z',
      '2026-10-25T01:30:00.000Z',
      '2026-10-25T02:00:00.000Z',
    ]);
    assert.deepEqual(due('*/30 * * * *', 'Europe/Berlin', '2026-03-29T00:29:00Z', 3), [
      '2026-03-29T00:30:00.000Z',
      '2026-03-29T01:00:00.000Z',
      '2026-03-29T01:30:00.000Z',
    ]);
  });

  it("know Lord Howe's half hour", () => {
    assert.deepEqual(due('45 1 * * *', 'Australia/Lord_Howe', '2026-04-04T00:00:00Z', 2), [
      '2026-04-04T14:45:00.000Z',
      '2026-04-05T15:15:00.000Z',
    ]);
    assert.deepEqual(due('15 2 * * *', 'Australia/Lord_Howe', '2026-10-03T00:00:00Z', 1), ['2026-10-04T15:15:00.000Z']);
  });

  it('read a range of one weekday by name as that day', () => {
    assert.deepEqual(due('0 12 * * SUN-SUN', 'UTC', '2026-01-01T00:00:00Z', 2), [
      '2026-01-04T12:00:00.000Z',
      '2026-01-11T12:00:00.000Z',
    ]);
  });

  it('take ? for a field that says nothing, whatever the time is', () => {
    assert.deepEqual(due('0 12 ? * MON', 'UTC', '2026-01-01T00:00:00Z', 1), ['2026-01-05T12:00:00.000Z']);
  });
});

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
