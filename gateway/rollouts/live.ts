/** A rollout that runs, and what there is to be done about it now. */
import type { Traffic } from '../../functions/contract/traffic.ts';
import type { Registry } from '../registry/registry.ts';
import type { RolloutRecord } from '../store/api/rollouts.ts';
import { judge, missing, type Slow } from './guard.ts';
import { trafficAt } from './plan.ts';
import type { Happening } from './state.ts';
import type { Histogram, Window } from './windows.ts';

export interface Live {
  record: RolloutRecord;
  readonly windows: Map<string, Window>;
  /** Changes go one after another; the last one that was asked for. */
  turn: Promise<void>;
  /** Whether a change is under way. */
  busy: boolean;
  /** What the last looks found slower; null: nothing. */
  doubt: Doubt | null;
  /** Whether the last try failed for a reason that passes: said once. */
  failing: boolean;
}

export type Rolled = RolloutRecord['functions'][number];

interface Doubt {
  readonly of: Histogram;
  /** As it was at the first of these looks. */
  readonly first: Histogram;
  /** In a row. */
  looks: number;
}

/**
 * Calls are slow by the dozen when a base collects garbage or the machine halts, and what counts each call as a witness
 * of its own takes that for proof. So calls must go on being slow: most of those that came since the first look that
 * found it, and so many at least; or, where few come, so many looks in a row must find it: a second later it is diluted.
 */
const AGAIN_CALLS = 20;
const SLOW_LOOKS = 4;

export function newLive(record: RolloutRecord): Live {
  return { record, windows: new Map(), turn: Promise.resolve(), busy: false, doubt: null, failing: false };
}

/** What a look finds; at the least, that time has passed. */
export function look(live: Live, registry: Pick<Registry, 'function'>): Happening {
  const { guard, functions } = live.record;
  const moved = movedBySomebody(live, registry);
  if (moved !== null) return moved;
  if (guard === false) return { what: 'tick', hold: false };
  let hold = false;
  let slower: { why: string; slow: Slow | undefined } | null = null;
  for (const { name, version } of functions) {
    const window = live.windows.get(name);
    if (window === undefined) continue;
    const verdict = judge(window, guard, functions.length);
    const why = verdict === null ? null : `${name} ${version}: ${verdict.why}`;
    if (why !== null && verdict?.figure === 'errorRate') return { what: 'bad', why };
    if (why !== null) slower ??= { why, slow: verdict?.slow };
    if (why === null && window.isFull) window.begin(window.round + 1, keepsOld(live.record));
    const left = missing(window, guard);
    hold ||= guard.whenTooFew === 'wait' && left.fresh + left.old > 0;
  }
  if (slower?.slow === undefined) {
    live.doubt = null;
    return { what: 'tick', hold };
  }
  // No step is taken while it is in doubt.
  return isSlowStill(live, slower.slow) ? { what: 'bad', why: slower.why } : { what: 'tick', hold: true };
}

function isSlowStill(live: Live, { fresh, limit }: Slow): boolean {
  if (live.doubt?.of !== fresh) live.doubt = { of: fresh, first: fresh.copy(), looks: 0 };
  const { doubt } = live;
  doubt.looks += 1;
  const calls = fresh.count - doubt.first.count;
  const slow = fresh.above(limit) - doubt.first.above(limit);
  return doubt.looks >= SLOW_LOOKS || (calls >= AGAIN_CALLS && slow > calls / 2);
}

/** Each step is judged by its own calls. */
export function beginWindows(live: Live): void {
  live.doubt = null;
  for (const window of live.windows.values()) window.begin(1, keepsOld(live.record));
}

/** With everything on the new version, the old one's last figures stand. */
function keepsOld({ steps, step }: RolloutRecord): boolean {
  return steps[step]?.percent === 100;
}

/** Null: everything is as this rollout has set it. */
export function movedBySomebody(live: Live, registry: Pick<Registry, 'function'>): Happening | null {
  const strayed = strayedOf(live, registry);
  if (strayed.length === 0) return null;
  const why = strayed.map(({ name }) =>
    registry.function(name) === undefined
      ? `${name} was deleted`
      : `the traffic of ${name} was moved by a traffic change, a deploy or a rollback, and stays as it was set there`,
  );
  return { what: 'moved', why: why.join('; ') };
}

/** Functions whose traffic is not what this rollout has set. */
export function strayedOf({ record }: Live, registry: Pick<Registry, 'function'>): Rolled[] {
  return record.functions.filter((rolled) => {
    const traffic = registry.function(rolled.name)?.record.traffic ?? null;
    return !isSame(traffic, trafficAt(rolled, record.steps, record.step));
  });
}

function isSame(one: Traffic | null, other: Traffic): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
