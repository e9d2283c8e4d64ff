/**
 * Cron expressions: five fields, or six with seconds first. Pure: the same arguments give the same answer (a time
 * zone's rules are the platform's own).
 */
import { Cron } from 'croner';

const WEEKDAY_NUMBER = /\d+/;

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
 * When the expression is due next, strictly after `afterMs`, in epoch ms; null: never again. Around a change to or
 * from daylight saving time a fixed time that does not exist runs at the next one that does.
 * @throws TypeError when expression or time zone is not valid: see validateCron.
 */
export function nextRun(expression: string, timezone: string, afterMs: number): number | null {
  return parse(expression, timezone).nextRun(new Date(afterMs))?.getTime() ?? null;
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

function parse(expression: string, timezone: string): Cron {
  return new Cron(expression, { timezone, mode: '5-or-6-parts', paused: true });
}

function describe(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/^CronPattern: /, '');
}
