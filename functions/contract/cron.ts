/**
 * Cron expressions: five fields, or six with seconds first. Pure: the same arguments give the same answer (a time
 * zone's rules are the platform's own).
 *
 * An expression is read on the wall clock of its time zone. Where that clock is set:
 * - what it leaves out is never due: a run at 02:30 has no run in the night without half past two;
 * - what it shows twice is due the first time only;
 * - but an expression of every hour (hour field `*`, or all that it may be) says how often, not when: it goes on through both passes, so that
 *   a job of every quarter of an hour does not rest for an hour.
 *
 * croner reads expressions and walks a calendar without such changes (UTC); what the changes mean is decided here.
 */
import { Cron } from 'croner';

const WEEKDAY_NUMBER = /\d+/;
const SUNDAY_ALONE = /\bSUN-SUN\b/gi;
const HOUR_MS = 3_600_000;
/** A clock is never set by more, but for changes of the date line, which skip a day and repeat none. */
const MOST_REPEATED_MS = 3 * HOUR_MS;
/** Zones are at most so far from UTC: how far a wall clock's reading, taken for UTC, is from the moment it shows. */
const MOST_BEHIND_MS = 12 * HOUR_MS;
const MOST_AHEAD_MS = 15 * HOUR_MS;

export interface Schedule {
  /** When it is due next, strictly after `afterMs`, in epoch ms; null: never again. */
  next(afterMs: number): number | null;
}

/** Whether the platform knows this IANA time zone. */
export function isTimezone(timezone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: timezone });
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/**
 * Reads an expression once, for many questions.
 * @throws TypeError when the expression is not valid, RangeError for a time zone that does not exist: see validateCron.
 */
export function readSchedule(expression: string, timezone: string): Schedule {
  const fields = expression.trim().split(/\s+/);
  const plain = fields.map((field) => {
    // `?`: nothing in particular, as Quartz writes it; croner would put the present moment there. And it takes the
    // second SUN for 7, and so all of the week.
    return field === '?' ? '*' : field.replace(SUNDAY_ALONE, '0');
  });
  const pattern = new Cron(plain.join(' '), { utcOffset: 0, mode: '5-or-6-parts', paused: true });
  const zone = zoneOf(timezone);

  const search = (reading: number) => pattern.nextRun(new Date(reading))?.getTime() ?? null;

  /** The first reading of the wall clock after this one that the expression names. */
  function nextReading(reading: number): number | null {
    const next = search(reading);
    const last = lastSecondOfMonth(reading);
    if (next !== null && next <= last) return next;
    // croner looks for a 30th of February on the 2nd of March, and goes on from there: the 1st is lost.
    const later = last > reading ? search(last) : null;
    return next === null || (later !== null && later < next) ? later : next;
  }

  function nextOnce(afterMs: number): number | null {
    for (let reading = nextReading(zone.reading(afterMs)); reading !== null; reading = nextReading(reading)) {
      const [first] = zone.moments(reading);
      // Before: the clock has been set back, and this is the second time.
      if (first !== undefined && first > afterMs) return first;
    }
    return null;
  }

  function nextEach(afterMs: number): number | null {
    let found: number | null = null;
    for (let reading = nextReading(zone.reading(afterMs)); reading !== null; reading = nextReading(reading)) {
      found = zone.moments(reading).find((moment) => moment > afterMs) ?? null;
      if (found !== null) break;
    }
    const setBackAt = zone.setBack(afterMs, afterMs + MOST_REPEATED_MS);
    if (setBackAt === null) return found;
    // What was shown before is shown again: the first of that may come sooner.
    const again = nextReading(zone.reading(setBackAt) - 1);
    const repeated = again === null ? null : (zone.moments(again).at(-1) ?? null);
    return found === null || (repeated !== null && repeated < found) ? repeated : found;
  }

  return { next: timezone !== 'UTC' && isEveryHour(plain.at(-4) ?? '') ? nextEach : nextOnce };
}

/** As Schedule.next, for one question. */
export function nextRun(expression: string, timezone: string, afterMs: number): number | null {
  return readSchedule(expression, timezone).next(afterMs);
}

function isEveryHour(field: string): boolean {
  if (field === '*') return true;
  const pattern = new Cron(`0 ${field} * * *`, { utcOffset: 0, mode: '5-part', paused: true });
  for (let hour = 0; hour < 24; hour++) {
    if (pattern.nextRun(new Date(hour * HOUR_MS - 1))?.getTime() !== hour * HOUR_MS) return false;
  }
  return true;
}

function lastSecondOfMonth(reading: number): number {
  const date = new Date(reading);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1) - 1000;
}

interface Zone {
  /** What its wall clock shows, as the epoch ms at which a clock of UTC shows the same. */
  reading(momentMs: number): number;
  /** When its wall clock shows this, in order: once, never, or twice. */
  moments(reading: number): number[];
  /** The first moment in (from, to] from which on its clock is behind what it was; null: it is not set back. */
  setBack(fromMs: number, toMs: number): number | null;
}

function zoneOf(timezone: string): Zone {
  // Throws a RangeError; also for UTC, which needs no further questions.
  Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(timezone);
  if (timezone === 'UTC') {
    return { reading: (moment) => moment, moments: (reading) => [reading], setBack: () => null };
  }
  const at = (moment: number) =>
    Temporal.Instant.fromEpochMilliseconds(Math.floor(moment)).toZonedDateTimeISO(timezone);
  const offset = (moment: number) => at(moment).offsetNanoseconds / 1e6;
  return {
    reading: (moment) => moment + offset(moment),
    moments(reading) {
      const before = offset(reading - MOST_AHEAD_MS);
      const after = offset(reading + MOST_BEHIND_MS);
      const offsets = before === after ? [before] : [before, after];
      return offsets
        .map((ahead) => reading - ahead)
        .filter((moment, i) => offset(moment) === offsets[i])
        .sort((a, b) => a - b);
    },
    setBack(from, to) {
      const ahead = offset(from);
      if (offset(to) >= ahead) return null;
      const change = at(from).getTimeZoneTransition('next')?.epochMilliseconds ?? null;
      return change === null || change > to ? null : change;
    },
  };
}

/** Null when the expression is valid and will be due some day; else a sentence that says what is wrong with it. */
export function validateCron(expression: string, timezone: string): string | null {
  const fields = expression.trim().split(/\s+/);
  if (fields.length < 5 || fields.length > 6) {
    const counted = expression.trim() === '' ? 0 : fields.length;
    return `A cron expression has five fields, or six with seconds first; this one has ${counted}.`;
  }
  if (!isTimezone(timezone)) return `"${timezone}" is not a time zone; use an IANA name such as "Europe/Berlin".`;
  try {
    // Any fixed date serves: the pattern has no year field, and 2000 starts a whole cycle of leap years.
    const next = nextRun(expression, timezone, Date.UTC(2000, 0, 1));
    return next === null ? `"${expression}" is never due: no such date exists.` : null;
  } catch (error) {
    return `"${expression}" is not a cron expression: ${describe(error)}`;
  }
}

/**
 * An expression with a wrangler file's weekdays (1–7 for Sunday–Saturday) in cron's own numbers (0–6).
 * @throws RangeError with a sentence, for a weekday outside 1–7.
 */
export function fromWranglerWeekdays(expression: string): string {
  const fields = expression.trim().split(/\s+/);
  const weekday = fields.at(-1);
  if (weekday === undefined || fields.length < 5 || fields.length > 6) return expression;
  const translated = weekday
    .split(',')
    .map((part) => {
      // What follows / or # counts steps and weeks, not days.
      const [days = '', ...rest] = part.split(/(?=[/#])/);
      return days.split('-').map(weekdayFromWrangler).join('-') + rest.join('');
    })
    .join(',');
  return [...fields.slice(0, -1), translated].join(' ');
}

function weekdayFromWrangler(day: string): string {
  return day.replace(WEEKDAY_NUMBER, (digits) => {
    const number = Number(digits);
    if (number < 1 || number > 7) {
      throw new RangeError(`In a wrangler file weekdays are 1 to 7 for Sunday to Saturday; ${digits} is none of them.`);
    }
    return String(number - 1);
  });
}

function describe(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/^CronPattern: /, '');
}
