/**
 * Versions that nobody needs any more go, with their code: those beyond the last ten of their function that are older than
 * what is kept, and that no call can come to. What may be called (traffic, a rollout, a rollback) the registry itself
 * refuses to remove, in one step with looking; see may-serve.ts.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import type { Audit } from '../control/audit.ts';
import type { Deployer } from '../control/deploy.ts';
import type { FunctionEntry, Registry, VersionEntry } from '../registry/registry.ts';
import type { RolloutStore } from '../store/api/rollouts.ts';

export interface VersionSweepParts {
  registry: Pick<Registry, 'function' | 'functions' | 'mayServe' | 'deleteVersion'>;
  /** Those of other gateways too. */
  rollouts: Pick<RolloutStore, 'running'>;
  deployer: Pick<Deployer, 'exclusive' | 'drain' | 'collectAssets'>;
  audit: Audit;
  /** How long one is kept at least, counted from its deploy. */
  keepMs: number;
  /** Resolves when others have had their turn on this loop. */
  pause(): Promise<void>;
  /** Monotonic ms. */
  clock(): number;
}

/** Of each function, whatever their age. */
export const KEEP_VERSIONS = 10;
const EVERY_MS = 60 * 60 * 1000;
/** How long it looks without a pause. */
const TURN_MS = 2;

/** As sweeps.ts calls it: once an hour it looks at all functions. */
export function createVersionSweep(parts: VersionSweepParts): (nowMs: number, most: number) => Promise<number> {
  const { registry, rollouts, deployer, audit, keepMs, pause, clock } = parts;
  let dueAt = 0;

  async function* unneeded(nowMs: number): AsyncGenerator<VersionEntry> {
    let turnEndsAt = clock() + TURN_MS;
    // Those of now: it takes several turns, in which functions come and go.
    for (const { record } of [...registry.functions()]) {
      if (clock() >= turnEndsAt) {
        await pause();
        turnEndsAt = clock() + TURN_MS;
      }
      const entry = registry.function(record.name);
      if (entry !== undefined) yield* oldOnes(entry, nowMs - keepMs);
    }
  }

  function* oldOnes({ record, kept }: FunctionEntry, before: number): Iterable<VersionEntry> {
    if (kept.length <= KEEP_VERSIONS) return;
    const needed = new Set(registry.mayServe(record.name).map(({ version }) => version.version));
    for (const version of kept.slice(0, -KEEP_VERSIONS)) {
      if (needed.has(version.version)) continue;
      // Oldest first: those behind it are younger still.
      if (version.record.createdAt >= before) return;
      yield version;
    }
  }

  /** False: it is needed after all. */
  function remove({ functionName, version }: VersionEntry): Promise<boolean> {
    return deployer.exclusive(functionName, async () => {
      const found = registry.function(functionName)?.kept.find((each) => each.version === version);
      if (found === undefined) return false;
      try {
        await registry.deleteVersion(functionName, version);
      } catch (error) {
        if (error instanceof HearthError && error.code === 'CONFLICT') return false;
        throw error;
      }
      deployer.drain(found, 'its version was deleted');
      deployer.collectAssets(functionName);
      await audit('hearth', 'version.delete', functionName, { version, why: 'HEARTH_RETENTION_DAYS' });
      return true;
    });
  }

  return async (nowMs, most) => {
    if (nowMs < dueAt) return 0;
    const rolling = new Set((await rollouts.running()).flatMap(({ functions }) => functions.map(({ name }) => name)));
    let removed = 0;
    for await (const version of unneeded(nowMs)) {
      if (rolling.has(version.functionName) || !(await remove(version))) continue;
      removed++;
      if (removed === most) return removed;
    }
    dueAt = nowMs + EVERY_MS;
    return removed;
  };
}
