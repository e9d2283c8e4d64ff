/** The registry's part that moves traffic: of one function, of several in one commit, there and back. */
import { HearthError, toHearthError } from '../../functions/contract/errors.ts';
import type { Traffic } from '../../functions/contract/traffic.ts';
import type { FunctionRecord, RegistryStore } from '../store/api/registry.ts';
import type { RolloutRecord } from '../store/api/rollouts.ts';
import { type KeptFunction, namedBy } from './entries.ts';
import type { Publications } from './publications.ts';
import type { FunctionEntry, Stuck, TrafficChange } from './registry.ts';
import type { Reservations } from './reservations.ts';

export interface TrafficMovesParts {
  store: Pick<RegistryStore, 'putFunctions'>;
  functions: ReadonlyMap<string, KeptFunction>;
  publications: Publications;
  reservations: Reservations;
  functionEntry(record: FunctionRecord, versions: KeptFunction['kept']): KeptFunction;
  /** Puts an entry in the place of the one before. */
  publish(functionName: string, entry: KeptFunction): void;
  /** What no call goes to any more, of one function whose traffic has changed. */
  leave(before: KeptFunction, entry: KeptFunction, why: string): void;
  tell(functionName: string): void;
  /** Epoch ms. */
  now(): number;
}

/** Registry's setTraffic, returnTraffic and rollback, to be run among its other changes. */
export interface TrafficMoves {
  set(changes: readonly TrafficChange[], rollout?: RolloutRecord): Promise<FunctionEntry[]>;
  returnTo(changes: readonly TrafficChange[], rollout: (stuck: readonly Stuck[]) => RolloutRecord): Promise<void>;
  rollback(functionName: string): Promise<FunctionEntry>;
}

/** A function, and how it stands after a change of its traffic. */
interface Move {
  before: KeptFunction;
  entry: KeptFunction;
}

/** What to say of a version that is not there. */
type Missing = (functionName: string, version: string) => HearthError;

export function createTrafficMoves(parts: TrafficMovesParts): TrafficMoves {
  const { store, functions, publications, reservations, functionEntry, publish, leave, tell, now } = parts;

  function known(name: string): KeptFunction {
    const entry = functions.get(name);
    if (entry === undefined) throw new HearthError('NOT_FOUND', `There is no function ${name}.`);
    return entry;
  }

  /** Throws what keeps it from being done. */
  function prepare({ name, traffic, previous, expected }: TrafficChange, time: number, missing: Missing): Move {
    const before = known(name);
    if (expected !== undefined && JSON.stringify(before.record.traffic) !== JSON.stringify(expected)) {
      throw new HearthError('CONFLICT', `The traffic of ${name} was changed meanwhile.`);
    }
    for (const version of new Set([...namedBy(traffic), ...namedBy(previous ?? null)])) {
      if (before.version(version) === undefined) throw missing(name, version);
    }
    const entry = functionEntry(redirected(before.record, traffic, time, previous), before.kept);
    if (entry.active !== undefined) publications.require(name, entry.active.claims);
    return { before, entry };
  }

  async function commit(moves: readonly Move[], why: string, rollout?: RolloutRecord): Promise<KeptFunction[]> {
    const entries = moves.map(({ entry }) => entry);
    if (new Set(entries.map(({ record }) => record.name)).size < entries.length) {
      throw new HearthError('CONFLICT', 'A function stands there twice; its traffic is set once.');
    }
    const records = entries.map(({ record }) => record);
    await store.putFunctions(records, rollout);
    for (const { before, entry } of moves) {
      if (rollout === undefined && !sameTraffic(before.record, entry.record)) reservations.give(entry.record.name);
    }
    for (const entry of entries) publish(entry.record.name, entry);
    for (const { record } of entries) tell(record.name);
    for (const { before, entry } of moves) leave(before, entry, why);
    return entries;
  }

  async function moveTraffic(
    changes: readonly TrafficChange[],
    why: string,
    missing: Missing,
    rollout?: RolloutRecord,
  ): Promise<KeptFunction[]> {
    const time = now();
    const moves = changes.map((change) => prepare(change, time, missing));
    return commit(moves, why, rollout);
  }

  async function returnTraffic(
    changes: readonly TrafficChange[],
    rollout: (stuck: readonly Stuck[]) => RolloutRecord,
  ): Promise<void> {
    const time = now();
    const moves: Move[] = [];
    const stuck: Stuck[] = [];
    for (const change of changes) {
      try {
        moves.push(prepare(change, time, noVersion));
      } catch (error) {
        stuck.push({ name: change.name, error: toHearthError(error) });
      }
    }
    await commit(moves, 'its traffic was moved', rollout(stuck));
  }

  async function rollback(name: string): Promise<FunctionEntry> {
    const { previousTraffic } = known(name).record;
    if (previousTraffic === null) {
      throw new HearthError('CONFLICT', `${name} has no earlier traffic to go back to.`);
    }
    const [entry] = await moveTraffic([{ name, traffic: previousTraffic }], 'rolled back', (_name, version) => {
      return new HearthError('CONFLICT', `Version ${version} of ${name}, which had the traffic before, was deleted.`);
    });
    return entry ?? known(name);
  }

  return {
    set: (changes, rollout) => moveTraffic(changes, 'its traffic was moved', noVersion, rollout),
    returnTo: returnTraffic,
    rollback,
  };
}

function noVersion(name: string, version: string): HearthError {
  return new HearthError('NOT_FOUND', `${name} has no version ${version}.`);
}

/** The same traffic again is no change, so that a rollback still leads to what was before it. */
export function redirected(
  record: FunctionRecord,
  traffic: Traffic | null,
  time: number,
  previous?: Traffic | null,
): FunctionRecord {
  const same = sameTraffic(record, { traffic });
  const before = same ? record.previousTraffic : record.traffic;
  return { ...record, traffic, previousTraffic: previous === undefined ? before : previous, updatedAt: time };
}

export function sameTraffic(one: Pick<FunctionRecord, 'traffic'>, other: Pick<FunctionRecord, 'traffic'>): boolean {
  return JSON.stringify(one.traffic) === JSON.stringify(other.traffic);
}
