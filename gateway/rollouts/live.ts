/** A rollout that runs, and what there is to be done about it now. */
import type { Traffic } from '../../functions/contract/traffic.ts';
import type { Registry } from '../registry/registry.ts';
import type { RolloutRecord } from '../store/store.ts';
import { judge, missing } from './guard.ts';
import { trafficAt } from './plan.ts';
import type { Happening } from './state.ts';
import type { Window } from './windows.ts';

export interface Live {
  record: RolloutRecord;
  readonly windows: Map<string, Window>;
  /** Changes go one after another; the last one that was asked for. */
  turn: Promise<void>;
  /** Whether a change is under way. */
  busy: boolean;
  /** Looks in a row that found one of the functions slower. */
  slowLooks: number;
  /** Whether the last try failed for a reason that passes: said once. */
  failing: boolean;
}

export type Rolled = RolloutRecord['functions'][number];

/**
 * Looks in a row that must find it slower. Calls are slow by the dozen when a base collects garbage or the machine halts,
 * and what counts each call as a witness of its own takes that for proof; a second later it is diluted.
 */
const SLOW_LOOKS = 4;

export function newLive(record: RolloutRecord): Live {
  return { record, windows: new Map(), turn: Promise.resolve(), busy: false, slowLooks: 0, failing: false };
}

/** What a look finds; at the least, that time has passed. */
export function look(live: Live, registry: Pick<Registry, 'function'>): Happening {
  const { guard, functions } = live.record;
  const moved = movedBySomebody(live, registry);
  if (moved !== null) return moved;
  if (guard === false) return { what: 'tick', hold: false };
  let hold = false;
  let slower: string | null = null;
  for (const { name, version } of functions) {
    const window = live.windows.get(name);
    if (window === undefined) continue;
    const verdict = judge(window, guard, functions.length);
    const why = verdict === null ? null : `${name} ${version}: ${verdict.why}`;
    if (why !== null && verdict?.figure === 'errorRate') return { what: 'bad', why };
    slower ??= why;
    if (why === null && window.isFull) window.begin(window.round + 1, keepsOld(live.record));
    const left = missing(window, guard);
    hold ||= guard.whenTooFew === 'wait' && left.fresh + left.old > 0;
  }
  live.slowLooks = slower === null ? 0 : live.slowLooks + 1;
  if (slower === null) return { what: 'tick', hold };
  // No step is taken while it is in doubt.
  return live.slowLooks < SLOW_LOOKS ? { what: 'tick', hold: true } : { what: 'bad', why: slower };
}

/** Each step is judged by its own calls. */
export function beginWindows(live: Live): void {
  live.slowLooks = 0;
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
