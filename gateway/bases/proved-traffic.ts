/**
 * The registry as all that moves traffic sees it: a version that is not known to come up on the base in use is proved
 * before it takes traffic, and otherwise the traffic stays as it is.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import { type Traffic, versionsOf } from '../../functions/contract/traffic.ts';
import type { FunctionEntry, Registry, TrafficChange, VersionEntry } from '../registry/registry.ts';
import type { Logger } from '../telemetry/log.ts';
import type { BaseGate } from './gate.ts';
import type { BaseProofs } from './proofs.ts';

export interface ProvedTrafficParts {
  registry: Registry;
  proofs: Pick<BaseProofs, 'has' | 'prove'>;
  gate: Pick<BaseGate, 'commit'>;
  log: Pick<Logger, 'warn'>;
}

/**
 * `setTraffic` and `rollback` also throw PROBE_FAILED, with the version and why it does not come up, and `setTraffic`
 * NO_CAPACITY when there was no base to prove one. What a rollout returns to has been proved all the while.
 */
export function provedTraffic(parts: ProvedTrafficParts): Registry {
  const { registry, proofs, gate, log } = parts;
  return {
    ...registry,
    setTraffic: (changes, rollout) =>
      proved(
        () => changes.flatMap(arriving),
        () => false,
        () => registry.setTraffic(changes, rollout),
      ),
    // Whatever may lead there, it has to go back; and no base was switched to one on which it does not come up.
    returnTraffic: (changes, rollout) => gate.commit(() => registry.returnTraffic(changes, rollout)),
    rollback: (name) =>
      proved(
        () => arriving({ name, traffic: registry.function(name)?.record.previousTraffic ?? null }),
        // What may well be the way out of a full pool is not held up by it: nothing is known against the version.
        ({ version }, error) => {
          log.warn('rolled back to a version that could not be proved first', { function: name, version, error });
          return true;
        },
        () => registry.rollback(name),
      ),
  };

  /** Versions that would take traffic and do not yet. */
  function arriving({ name, traffic }: TrafficChange): VersionEntry[] {
    const entry = registry.function(name);
    if (entry === undefined) return [];
    const there = new Set(named(entry.record.traffic));
    return named(traffic).flatMap((version) => (there.has(version) ? [] : exactly(entry, version)));
  }

  /** `tolerate`: whether it goes on though there was no base to prove this one. */
  async function proved<Result>(
    wanted: () => VersionEntry[],
    tolerate: (version: VersionEntry, error: HearthError) => boolean,
    commit: () => Promise<Result>,
  ): Promise<Result> {
    const tolerated = new Set<string>();
    const open = () => wanted().filter((version) => !proofs.has(version) && !tolerated.has(version.key));
    for (;;) {
      for (const version of open()) {
        try {
          await proofs.prove(version);
        } catch (error) {
          if (!(error instanceof HearthError) || error.code !== 'NO_CAPACITY' || !tolerate(version, error)) throw error;
          tolerated.add(version.key);
        }
      }
      // Meanwhile its base may have been switched, or other versions been named.
      const done = await gate.commit(async () => (open().length > 0 ? null : { result: await commit() }));
      if (done !== null) return done.result;
    }
  }
}

function named(traffic: Traffic | null): string[] {
  return traffic === null ? [] : versionsOf(traffic);
}

function exactly(entry: FunctionEntry, name: string): VersionEntry[] {
  const version = entry.find(name);
  return version?.version === name ? [version] : [];
}
