import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromWranglerWeekdays, isTimezone, nextRun, validateCron } from './cron.ts';
import { publicationSchema } from './publication.ts';

const at = (text: string) => Date.parse(text);
const iso = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString());

describe('validateCron', () => {
  for (const expression of [
    '* * * * *',
    '*/5 * * * *',
    '*/2 * * * * *',
    '0 9 * JAN MON-FRI',
    '0 0 * * 0',
    '0 0 * * 7',
    '0 0 29 2 *',
    '0 0 L * *',
    ' 0  9 * * * ',
  ]) {
    it(`accepts "${expression}"`, () => {
      assert.equal(validateCron(expression, 'UTC'), null);
    });
  }

  for (const [expression, says] of [
    ['', /has 0/],
    ['* * * *', /has 4/],
    ['* * * * * * *', /has 7/],
    ['@daily', /has 1/],
    ['61 * * * *', /minute: 61/],
    ['0 0 * * FUNDAY', /not a cron expression/],
    ['0 0 30 2 *', /never due/],
    ['0 0 31 4,6,9,11 *', /never due/],
  ] as const) {
    it(`refuses "${expression}" with a sentence`, () => {
      assert.match(validateCron(expression, 'UTC') ?? 'accepted', says);
    });
  }

  it('is what publications are checked by, with the place of what is wrong', () => {
    const { error } = publicationSchema.safeParse({ function: 'f', crons: ['* * * * *', '0 0 30 2 *'] });
    assert.deepEqual(
      error?.issues.map(({ path, message }) => [path, message]),
      [[['crons', 1], '"0 0 30 2 *" is never due: no such date exists.']],
    );
  });

  it('names a time zone that does not exist', () => {
    assert.match(validateCron('* * * * *', 'Mars/Olympus') ?? '', /"Mars\/Olympus" is not a time zone/);
    assert.equal(isTimezone('Europe/Berlin'), true);
    assert.equal(isTimezone(''), false);
  });
});

describe('nextRun', () => {
  it('is strictly after the given moment', () => {
    assert.equal(iso(nextRun('0 * * * *', 'UTC', at('2026-01-01T10:00:00Z'))), '2026-01-01T11:00:00.000Z');
    assert.equal(iso(nextRun('0 * * * *', 'UTC', at('2026-01-01T09:59:59.999Z'))), '2026-01-01T10:00:00.000Z');
  });

  it('counts seconds when the expression has six fields', () => {
    assert.equal(iso(nextRun('*/10 * * * * *', 'UTC', at('2026-01-01T10:00:03Z'))), '2026-01-01T10:00:10.000Z');
  });

  it('reads the expression in its time zone', () => {
    assert.equal(iso(nextRun('0 9 * * *', 'Asia/Tokyo', at('2026-01-01T00:00:00Z'))), '2026-01-02T00:00:00.000Z');
  });

  it('takes 0 and 7 for Sunday', () => {
    const from = at('2026-01-01T00:00:00Z');
    assert.equal(iso(nextRun('0 0 * * 0', 'UTC', from)), '2026-01-04T00:00:00.000Z');
    assert.equal(nextRun('0 0 * * 7', 'UTC', from), nextRun('0 0 * * 0', 'UTC', from));
  });

  it('finds a leap day four years ahead', () => {
    assert.equal(iso(nextRun('0 0 29 2 *', 'UTC', at('2024-03-01T00:00:00Z'))), '2028-02-29T00:00:00.000Z');
  });

  it('goes on over a night whose half past two does not exist', () => {
    const due = nextRun('0 30 2 * * *', 'Europe/Berlin', at('2026-03-29T00:00:00Z'));
    assert.ok(due !== null && due > at('2026-03-29T00:00:00Z') && due <= at('2026-03-30T00:30:00Z'));
  });

  it('moves forward through a night that has half past two twice', () => {
    let last = at('2026-10-24T12:00:00Z');
    for (let i = 0; i < 3; i += 1) {
      const due = nextRun('30 2 * * *', 'Europe/Berlin', last);
      assert.ok(due !== null && due > last);
      last = due;
    }
    assert.equal(iso(last), '2026-10-27T01:30:00.000Z');
  });

  it('throws for an expression that is none', () => {
    assert.throws(() => nextRun('nonsense', 'UTC', 0), TypeError);
  });
});

describe("a wrangler file's weekdays", () => {
  for (const [written, read] of [
    ['0 9 * * 1', '0 9 * * 0'],
    ['0 9 * * 2-6', '0 9 * * 1-5'],
    ['0 9 * * 1,7', '0 9 * * 0,6'],
    ['0 9 * * 2-6/2', '0 9 * * 1-5/2'],
    ['0 9 * * 2#1', '0 9 * * 1#1'],
    ['0 9 * * 6L', '0 9 * * 5L'],
    ['0 9 * * MON-FRI', '0 9 * * MON-FRI'],
    ['0 9 * * */2', '0 9 * * */2'],
    ['15 10 1 * *', '15 10 1 * *'],
  ] as const) {
    it(`reads "${written}" as "${read}"`, () => {
      assert.equal(fromWranglerWeekdays(written), read);
    });
  }

  it('refuses 0 and 8', () => {
    assert.throws(() => fromWranglerWeekdays('0 9 * * 0'), /1 to 7 for Sunday to Saturday; 0/);
    assert.throws(() => fromWranglerWeekdays('0 9 * * 2-8'), RangeError);
  });
});
