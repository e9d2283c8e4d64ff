/** Chooses the version for a call. Pure: the same setting and the same caller always give the same version. */
import { createHash } from 'node:crypto';
import type { StickyBy, Traffic, When } from '../../functions/contract/traffic.ts';
import { ARM } from '../telemetry/names.ts';

/** What a choice may ask about a call. Null or undefined: the call has none. */
export interface Ask {
  /** Name in lower case. */
  header(name: string): string | null;
  cookie(name: string): string | null;
  query(name: string): string | null;
  /** JSON pointer into the body. */
  json(pointer: string): unknown;
}

/** A version, and what chose it: ARM in telemetry/names.ts. */
export interface Choice<Version> {
  readonly version: Version;
  readonly arm: string;
}

export interface TrafficPlan {
  /** The one version that takes everything; null: ask `pick`. */
  readonly single: string | null;
  /** Whether `pick` may ask for the body. */
  readonly needsBody: boolean;
  /** `ask` null: a call without a request (cron, queue), which no rule matches and nothing binds. */
  choose(ask: Ask | null): Choice<string>;
  pick(ask: Ask | null): string;
}

export function compileTraffic(functionName: string, traffic: Traffic): TrafficPlan {
  const { rules = [], stickyBy } = traffic;
  const arms = traffic.split.filter(({ percent }) => percent > 0);
  const [first] = arms.length === 0 ? traffic.split : arms;
  if (first === undefined) throw new RangeError('A traffic setting without a version.');
  const alone = arms.length <= 1;
  const spread = createSpread(arms);
  const bySplit = (ask: Ask | null): string => {
    if (alone) return first.version;
    const caller = ask === null || stickyBy === undefined ? null : callerOf(stickyBy, ask);
    return caller === null || caller === '' ? spread() : armOf(functionName, caller, arms);
  };
  const choose = (ask: Ask | null): Choice<string> => {
    const rule = ask === null ? undefined : rules.find(({ when }) => matches(when, ask));
    return rule === undefined ? { version: bySplit(ask), arm: ARM.split } : { version: rule.version, arm: ARM.rule };
  };
  return {
    single: alone && rules.length === 0 ? first.version : null,
    needsBody:
      rules.some(({ when }) => when.json !== undefined) || (!alone && stickyBy !== undefined && 'json' in stickyBy),
    choose,
    pick: (ask) => choose(ask).version,
  };
}

/** Whether all that is asked for is there. */
export function matches(when: When, ask: Ask): boolean {
  return (
    each(when.header, (name, value) => ask.header(name) === value) &&
    each(when.cookie, (name, value) => ask.cookie(name) === value) &&
    each(when.query, (name, value) => ask.query(name) === value) &&
    each(when.json, (pointer, value) => ask.json(pointer) === value)
  );
}

function each<Value>(
  record: Record<string, Value> | undefined,
  holds: (name: string, value: Value) => boolean,
): boolean {
  return record === undefined || Object.entries(record).every(([name, value]) => holds(name, value));
}

function callerOf(stickyBy: StickyBy, ask: Ask): string | null {
  if ('header' in stickyBy) return ask.header(stickyBy.header);
  if ('cookie' in stickyBy) return ask.cookie(stickyBy.cookie);
  if ('query' in stickyBy) return ask.query(stickyBy.query);
  const value = ask.json(stickyBy.json);
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : null;
}

type Arm = Traffic['split'][number];

/**
 * Weighted rendezvous hashing: each arm draws a number for this caller, larger with its share, and the largest wins. An
 * arm whose share grows against all others only wins callers; which others there are, and in what order, is all the same.
 */
function armOf(functionName: string, caller: string, arms: readonly Arm[]): string {
  let best = '';
  let most = Number.NEGATIVE_INFINITY;
  for (const { version, percent } of arms) {
    const score = -percent / Math.log(draw(`${functionName}\0${version}\0${caller}`));
    if (score > most) {
      most = score;
      best = version;
    }
  }
  return best;
}

/** Evenly between 0 and 1, without either. */
function draw(text: string): number {
  const hash = createHash('sha256').update(text).digest();
  return (hash.readUIntBE(0, 6) + 0.5) / 2 ** 48;
}

const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** Arms in turn by a sequence that fills the interval evenly, so that a split is right from the first few calls on. */
function createSpread(arms: readonly Arm[]): () => string {
  const whole = arms.reduce((sum, { percent }) => sum + percent, 0);
  let point = 0;
  return () => {
    point = (point + GOLDEN) % 1;
    let left = point * whole;
    for (const { version, percent } of arms) {
      left -= percent;
      if (left < 0) return version;
    }
    return arms[arms.length - 1]?.version ?? '';
  };
}
