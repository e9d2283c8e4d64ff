/**
 * When a cron is due, by another way than cron.ts takes: every minute of some days around a change of the clock is shown
 * by Intl, and each is asked whether the expression names it. Nothing here reads an expression: they are made together
 * with what they mean.
 */
import fc from 'fast-check';

/** Zones whose clocks are set in all the ways there are, and years in which they were. */
const ZONES: readonly [zone: string, years: readonly number[]][] = [
  ['UTC', [2026]],
  ['Asia/Kathmandu', [2026]],
  ['Europe/Berlin', [2026, 2031]],
  ['Europe/Dublin', [2027]],
  ['America/New_York', [2026, 2006]],
  // Half an hour.
  ['Australia/Lord_Howe', [2026, 2029]],
  // Two hours, in the seasons of Norway.
  ['Antarctica/Troll', [2026]],
  // At midnight: a day without its first hour, a day that ends twice.
  ['America/Havana', [2026]],
  ['America/Santiago', [2026]],
  ['America/Sao_Paulo', [2018]],
  ['Asia/Beirut', [2026]],
  ['Africa/Cairo', [2026]],
  ['Asia/Tehran', [2021]],
  // A minute after midnight.
  ['America/St_Johns', [2010]],
  // For Ramadan, and back.
  ['Africa/Casablanca', [2026]],
  ['Pacific/Chatham', [2026]],
  // A day was left out.
  ['Pacific/Apia', [2011]],
];

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const AROUND_MS = 2 * DAY_MS;

interface Minute {
  at: number;
  month: number;
  day: number;
  weekday: number;
  hour: number;
  minute: number;
  /** The clock has shown this minute before. */
  again: boolean;
}

export interface Days {
  zone: string;
  fromMs: number;
  toMs: number;
  minutes: Minute[];
}

/** The days around every change of every zone; of a zone without changes some days of the year. */
export function allDays(): Days[] {
  return ZONES.flatMap(([zone, years]) => {
    const wall = wallClock(zone);
    return years.flatMap((year) => changesOf(wall, year).map((change) => daysAround(zone, wall, change)));
  });
}

function wallClock(zone: string): (at: number) => number[] {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
  });
  // month/day/year, hour:minute
  return (at) => format.format(at).split(/\D+/).map(Number);
}

function offsetOf(wall: (at: number) => number[], at: number): number {
  const [month = 0, day = 0, year = 0, hour = 0, minute = 0] = wall(at);
  return Date.UTC(year, month - 1, day, hour, minute) - at;
}

function changesOf(wall: (at: number) => number[], year: number): number[] {
  const changes: number[] = [];
  for (let at = Date.UTC(year, 0, 1); at < Date.UTC(year + 1, 0, 1); at += DAY_MS) {
    if (offsetOf(wall, at) !== offsetOf(wall, at + DAY_MS)) changes.push(at);
  }
  return changes.length === 0 ? [Date.UTC(year, 1, 27)] : changes;
}

function daysAround(zone: string, wall: (at: number) => number[], change: number): Days {
  const fromMs = change - AROUND_MS;
  const toMs = change + DAY_MS + AROUND_MS;
  const shown = new Set<string>();
  const minutes: Minute[] = [];
  for (let at = fromMs; at < toMs; at += MINUTE_MS) {
    const [month = 0, day = 0, year = 0, hour = 0, minute = 0] = wall(at);
    const reading = `${year} ${month} ${day} ${hour} ${minute}`;
    const weekday = new Date(Date.UTC(year, month - 1, day)).getUTCDay();
    minutes.push({ at, month, day, weekday, hour, minute, again: shown.has(reading) });
    shown.add(reading);
  }
  return { zone, fromMs, toMs, minutes };
}

/* ── expressions, with what they mean ── */

interface Field {
  text: string;
  values: ReadonlySet<number>;
}

export interface Expression {
  text: string;
  second: Field;
  minute: Field;
  hour: Field;
  day: Field;
  month: Field;
  weekday: Field;
}

const range = (from: number, to: number, step = 1) => {
  const values: number[] = [];
  for (let value = from; value <= to; value += step) values.push(value);
  return values;
};

function field(from: number, to: number, usual: fc.Arbitrary<number>, name = (value: number) => String(value)) {
  const star = fc.constant({ text: '*', values: new Set(range(from, to)) });
  const one = usual.map((value) => ({ text: name(value), values: new Set([value]) }));
  const every = fc
    .integer({ min: 1, max: to })
    .map((step) => ({ text: `*/${step}`, values: new Set(range(from, to, step)) }));
  const between = fc.tuple(usual, usual, fc.option(fc.integer({ min: 1, max: 5 }), { nil: null })).map(([a, b, by]) => {
    const [low, high] = a <= b ? [a, b] : [b, a];
    // Steps within a single value are refused at the deploy.
    const step = low === high ? null : by;
    return {
      text: `${name(low)}-${name(high)}${step === null ? '' : `/${step}`}`,
      values: new Set(range(low, high, step ?? 1)),
    };
  });
  const some = fc.array(fc.oneof(one, between), { minLength: 2, maxLength: 4 }).map((parts) => ({
    text: parts.map(({ text }) => text).join(','),
    values: new Set(parts.flatMap(({ values }) => [...values])),
  }));
  return { star, one, every, between, some };
}

const oneOf = (weights: readonly [number, fc.Arbitrary<Field>][]) =>
  fc.oneof(...weights.map(([weight, arbitrary]) => ({ weight, arbitrary })));

const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const WEEKDAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];

export function expressions(): fc.Arbitrary<Expression> {
  const seconds = field(0, 59, fc.integer({ min: 0, max: 59 }));
  const minutes = field(
    0,
    59,
    fc.oneof(fc.constantFrom(0, 1, 15, 29, 30, 31, 45, 59), fc.integer({ min: 0, max: 59 })),
  );
  // Clocks are set at night.
  const nightly = fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 0, max: 4 }) }, fc.integer({ min: 0, max: 23 }));
  const hours = field(0, 23, nightly);
  const days = field(1, 31, fc.integer({ min: 1, max: 31 }));
  const months = field(1, 12, fc.integer({ min: 1, max: 12 }), (value) => MONTHS[value - 1] ?? '');
  const weekdays = field(0, 6, fc.integer({ min: 0, max: 6 }), (value) => WEEKDAYS[value] ?? '');
  const sunday = fc.constant({ text: '7', values: new Set([0]) });
  return fc
    .record({
      second: oneOf([
        [6, fc.constant({ text: '', values: new Set([0]) })],
        [1, seconds.one],
        [1, seconds.every],
        [1, seconds.some],
      ]),
      minute: oneOf([
        [1, minutes.star],
        [3, minutes.one],
        [3, minutes.every],
        [1, minutes.between],
        [1, minutes.some],
      ]),
      hour: oneOf([
        [3, hours.star],
        [4, hours.one],
        [2, hours.every],
        [1, hours.between],
        [1, hours.some],
      ]),
      day: oneOf([
        [8, days.star],
        [1, days.one],
        [1, days.every],
        [1, days.between],
      ]),
      month: oneOf([
        [10, months.star],
        [1, months.every],
        [1, months.between],
      ]),
      weekday: oneOf([
        [8, weekdays.star],
        [1, weekdays.one],
        [1, weekdays.between],
        [1, weekdays.some],
        [1, sunday],
      ]),
    })
    .map((fields) => ({
      ...fields,
      text: [fields.second, fields.minute, fields.hour, fields.day, fields.month, fields.weekday]
        .map(({ text }) => text)
        .filter((text) => text !== '')
        .join(' '),
    }));
}

/** The first so many due times strictly after `afterMs` within the days; fewer when they end. */
export function dueWithin(days: Days, expression: Expression, afterMs: number, most: number): number[] {
  const due: number[] = [];
  const { second, minute, hour, day, month, weekday } = expression;
  const seconds = [...second.values].sort((a, b) => a - b);
  const everyHour = hour.values.size === 24;
  for (const shown of days.minutes) {
    if (shown.at + MINUTE_MS <= afterMs || (shown.again && !everyHour)) continue;
    if (!minute.values.has(shown.minute) || !hour.values.has(shown.hour) || !month.values.has(shown.month)) continue;
    const byDay = day.values.has(shown.day);
    const byWeekday = weekday.values.has(shown.weekday);
    // As in cron: where both are given, either will do.
    const either = day.text !== '*' && weekday.text !== '*';
    if (either ? !byDay && !byWeekday : !byDay || !byWeekday) continue;
    for (const value of seconds) {
      const at = shown.at + value * 1000;
      if (at > afterMs) due.push(at);
      if (due.length === most) return due;
    }
  }
  return due;
}

/** `days`: which of them; so that a failing case is printed without its minutes. `share`: how far into them. */
export interface DueCase {
  days: number;
  share: number;
  expression: Expression;
}

export function dueCases(days: readonly Days[]): fc.Arbitrary<DueCase> {
  return fc.record({
    days: fc.nat({ max: days.length - 1 }),
    share: fc.double({ min: 0, max: 0.98, noNaN: true }),
    expression: expressions(),
  });
}
