/**
 * What other gateways on the same store change is done here too: the store's feed says what may have changed, and each
 * part reads that anew and takes it over as if it had been changed here. A change of this gateway's own comes back the
 * same way and is found to be no change.
 *
 *   feed ──names──► lane of their kind ──► read from the store, compared, taken over
 *   `null`, and every minute ──► everything is compared: of functions only their revisions are read
 */
import type { Registry } from '../registry/registry.ts';
import type { Change, ChangeFeed } from '../store/api/changes.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Timers } from '../triggers/timers.ts';
import { createLane, type Lane } from './lane.ts';

/** Reads these anew; null: all. Throws while the store is away: it is asked again. */
export type Refresh = (names: readonly string[] | null) => Promise<unknown>;

/** Parts that read the feed themselves are left out. */
export type FollowedKind = Exclude<Change['kind'], 'function' | 'publication' | 'messages'>;

export interface FollowerParts {
  changes: Pick<ChangeFeed, 'listen' | 'revisions'>;
  /** What ChangeFeed.revisions said before the registry was loaded. */
  loaded: ReadonlyMap<string, string>;
  registry: Pick<Registry, 'functions' | 'refresh' | 'onChange'>;
  others: Partial<Record<FollowedKind, Refresh>>;
  /** Told of queues in which there may be something to claim; '' stands for all. */
  messages(queues: readonly string[]): void;
  timers: Timers;
  log: Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;
}

export interface Follower {
  start(): void;
  /** Takes over nothing more; resolves when what is under way has ended. Idempotent. */
  drain(): Promise<void>;
}

/** A notice is never lost as far as anybody knows; what a mistake would lose is mended after so long. */
const COMPARE_EVERY_MS = 60_000;

export function createFollower(parts: FollowerParts): Follower {
  const { changes, registry, others, timers, log } = parts;
  /** By function, as of the last comparison; of those that have changed since there is none. */
  let seen = new Map(parts.loaded);
  let publicationsToo = false;
  let endings: (() => void)[] = [];
  let cancel: () => void = () => undefined;

  const functions = lane('Functions changed by other gateways', followFunctions);
  const lanes = new Map<FollowedKind, Lane>();
  for (const [kind, refresh] of Object.entries(others) as [FollowedKind, Refresh][]) {
    lanes.set(kind, lane(`What other gateways changed (${kind})`, refresh));
  }

  function lane(what: string, work: Refresh): Lane {
    return createLane({ what, work, timers, log });
  }

  async function followFunctions(names: readonly string[] | null): Promise<void> {
    if (names === null) return compareAll();
    const publications = publicationsToo;
    publicationsToo = false;
    try {
      const changed = await registry.refresh({ functions: names.filter((name) => name !== ''), publications });
      if (changed.length > 0) log.debug('functions changed by another gateway', { functions: changed });
    } catch (error) {
      publicationsToo ||= publications;
      throw error;
    }
  }

  async function compareAll(): Promise<void> {
    const before = seen;
    const revisions = await changes.revisions();
    const names = new Set<string>();
    for (const [name, revision] of revisions) if (before.get(name) !== revision) names.add(name);
    for (const name of before.keys()) if (!revisions.has(name)) names.add(name);
    for (const { record } of registry.functions()) if (!revisions.has(record.name)) names.add(record.name);
    seen = new Map(revisions);
    try {
      const changed = await registry.refresh({ functions: [...names], publications: true });
      if (changed.length > 0) log.info('functions were not as the store has them', { functions: changed });
    } catch (error) {
      seen = before;
      throw error;
    }
  }

  function compare(): void {
    parts.messages(['']);
    functions.ask(null);
    for (const each of lanes.values()) each.ask(null);
  }

  function compareAgain(): void {
    cancel = timers.after(COMPARE_EVERY_MS, () => {
      compare();
      compareAgain();
    });
  }

  function told(all: Change[] | null): void {
    if (all === null) {
      compare();
      return;
    }
    const named = Map.groupBy(all, ({ kind }) => kind);
    const namesOf = (kind: Change['kind']) => (named.get(kind) ?? []).map(({ name }) => name);
    if (named.has('messages')) parts.messages([...new Set(namesOf('messages'))]);
    // In one go: what is deployed and published in one moment is so here.
    publicationsToo ||= named.has('publication');
    if (named.has('function') || named.has('publication')) functions.ask(['', ...namesOf('function')]);
    for (const [kind, each] of lanes) if (named.has(kind)) each.ask(namesOf(kind));
  }

  return {
    start() {
      endings = [registry.onChange((name) => void seen.delete(name)), changes.listen(told)];
      compareAgain();
    },
    async drain() {
      for (const end of endings) end();
      cancel();
      await Promise.all([functions.end(), ...[...lanes.values()].map((each) => each.end())]);
    },
  };
}
