/**
 * One change of a rollout, from what happened to what is stored: the traffic of its functions and the rollout's own record
 * are one commit, and a store that refuses it says who was faster.
 */
import { HearthError, toHearthError } from '../../functions/contract/errors.ts';
import { type Traffic, versionsOf } from '../../functions/contract/traffic.ts';
import type { FunctionEntry, Stuck, TrafficChange } from '../registry/registry.ts';
import type { RolloutRecord } from '../store/api/rollouts.ts';
import { beginWindows, type Live, movedBySomebody, type Rolled, strayedOf } from './live.ts';
import { trafficAt } from './plan.ts';
import { actionOf, auditDetail } from './record.ts';
import type { RolloutsParts } from './rollouts.ts';
import { advance, type Happening, isOver, resumed } from './state.ts';

export interface ChangesParts extends Pick<RolloutsParts, 'store' | 'registry' | 'audit' | 'now' | 'log'> {
  leads(): boolean;
  /** It is over: nothing here has to do with it any more. */
  release(live: Live): void;
}

/** `begin`, `apply` and `adopt` within the rollout's turn. */
export interface Changes {
  /** Sets the traffic of the first step. */
  begin(live: Live): Promise<void>;
  /** Throws CONFLICT for what cannot be done now, and NO_CAPACITY while the store is away: nothing has changed then. */
  apply(live: Live, wanted: Happening, actor: string): Promise<void>;
  /** Takes over what another gateway has stored; null: it is gone. */
  adopt(live: Live, stored: RolloutRecord | null): void;
  /** Into log and audit. The change itself is done: that it could not be noted undoes nothing. */
  note(actor: string, action: string, record: RolloutRecord): Promise<void>;
}

/** What a step is refused with that would be refused again. */
const FOR_GOOD = ['CONFLICT', 'NOT_FOUND', 'PROBE_FAILED'];
/** Whoever acts for itself, in the audit. */
export const HEARTH = 'hearth';

export function createChanges(parts: ChangesParts): Changes {
  const { store, registry, audit, now, log, leads, release } = parts;

  async function begin(live: Live): Promise<void> {
    const { record } = live;
    const changes = record.functions.map((rolled) => ({
      name: rolled.name,
      traffic: trafficAt(rolled, record.steps, 0),
      previous: rolled.before,
      expected: rolled.before,
    }));
    try {
      await registry.setTraffic(changes, record);
    } catch (error) {
      // Within the turn: nothing that waits for one is to find a rollout that never began.
      release(live);
      throw error;
    }
  }

  /** What is known of the traffic may be older than the rollout's own record, or it is what another gateway has set. */
  async function stillMoved(live: Live): Promise<Happening | null> {
    await registry.refresh({ functions: live.record.functions.map(({ name }) => name), publications: false });
    return movedBySomebody(live, registry);
  }

  /** True when another gateway has changed it, which is taken over. */
  async function tookOver(live: Live): Promise<boolean> {
    const stored = await store.get(live.record.id);
    if (stored?.revision === live.record.revision) return false;
    adopt(live, stored);
    return true;
  }

  function adopt(live: Live, stored: RolloutRecord | null): void {
    if (stored !== null && stored.revision <= live.record.revision) return;
    if (stored === null || isOver(stored)) {
      live.record = stored ?? live.record;
      release(live);
      return;
    }
    const isNewStep = stored.step !== live.record.step;
    // Its figures begin here and now, and its pause with them.
    live.record = isNewStep && leads() ? { ...stored, ...resumed(stored, now()) } : stored;
    if (isNewStep) beginWindows(live);
  }

  async function apply(live: Live, wanted: Happening, actor: string): Promise<void> {
    const happening = wanted.what === 'moved' ? await stillMoved(live) : wanted;
    if (happening === null) return;
    const { record } = live;
    const outcome = advance(record, record.steps, happening, now());
    if (outcome.progress === record) return;
    const revision = record.revision + 1;
    let next: RolloutRecord = { ...record, ...outcome.progress, revision, updatedAt: now() };
    try {
      if (outcome.traffic === 'set') await setStep(live, next);
      else if (outcome.traffic === 'return') next = await goBack(live, next);
      else await store.put(next);
    } catch (error) {
      const { code, message } = toHearthError(error);
      if (code === 'CONFLICT' && (await tookOver(live))) {
        if (actor === HEARTH) return;
        throw new HearthError('CONFLICT', `The rollout ${record.id} was changed meanwhile; look at it and ask again.`);
      }
      if (outcome.traffic !== 'set' || !FOR_GOOD.includes(code)) throw error;
      // Somebody else was first. Else it is the step itself that cannot be, and trying again would not change that.
      const moved = movedBySomebody(live, registry);
      const why = `step ${next.step + 1} could not be taken: ${message}`;
      return apply(live, moved ?? { what: 'bad', why }, HEARTH);
    }
    live.record = next;
    if (outcome.traffic === 'set') beginWindows(live);
    await note(actor, actionOf(happening, outcome), next);
    if (isOver(next)) release(live);
  }

  /** Traffic that somebody else moved meanwhile is not overwritten. */
  function changeOf({ record }: Live, rolled: Rolled, traffic: Traffic, previous: Traffic | null): TrafficChange {
    return { name: rolled.name, traffic, previous, expected: trafficAt(rolled, record.steps, record.step) };
  }

  async function setStep(live: Live, next: RolloutRecord): Promise<void> {
    const changes = next.functions.map((rolled) =>
      changeOf(live, rolled, trafficAt(rolled, next.steps, next.step), rolled.before),
    );
    await registry.setTraffic(changes, next);
  }

  /** All that can go back do, whatever keeps another one. Returns the record as it was stored: it names that one. */
  async function goBack(live: Live, next: RolloutRecord): Promise<RolloutRecord> {
    const strayed = new Set(strayedOf(live, registry));
    const changes = live.record.functions
      .filter((rolled) => !strayed.has(rolled))
      .map((rolled) => changeOf(live, rolled, rolled.before, whole(registry.function(rolled.name), rolled.previous)));
    let ended = next;
    let left: readonly Stuck[] = [];
    await registry.returnTraffic(changes, (stuck) => {
      left = stuck;
      ended = { ...next, why: [next.why, ...stuck.map(inWords)].join('; ') };
      return ended;
    });
    for (const { name, error } of left) {
      log.error('A function of a rollout could not go back.', { rollout: next.id, function: name, error });
    }
    return ended;
  }

  async function note(actor: string, action: string, record: RolloutRecord): Promise<void> {
    const { id, state } = record;
    const detail = auditDetail(record);
    log[state === 'stopped' ? 'warn' : 'info'](`Rollout: ${action}.`, { rollout: id, ...detail });
    try {
      await audit(actor, `rollout.${action}`, id, detail);
    } catch (error) {
      log.error('A change of a rollout is missing in the audit log.', { rollout: id, action, error });
    }
  }

  return { begin, apply, adopt, note };
}

function inWords({ name, error }: Stuck): string {
  return `${name} could not go back to its traffic before: ${error.message}`;
}

/** A setting whose versions are all still there. */
function whole(entry: FunctionEntry | undefined, traffic: Traffic | null): Traffic | null {
  if (traffic === null || entry === undefined) return null;
  return versionsOf(traffic).every((version) => entry.versions.has(version)) ? traffic : null;
}
