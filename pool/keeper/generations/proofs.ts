/** What a version has to do before it takes traffic: come up on a real base and answer at its ready path. */
import { HearthError } from '../../../functions/contract/errors.ts';
import { monotonicMs } from '../../../functions/contract/invocation.ts';
import type { ModuleSpec, ProbeResult } from '../api.ts';
import type { BaseDefinition } from '../definition.ts';
import type { FunctionPool } from '../function-pool.ts';
import type { Groups } from '../groups/groups.ts';
import { askReady } from './ready-path.ts';

/** Where one of a group is proved: beside others that are, or alone. Nothing is remembered of it. */
export type ProvedWhere = 'proofs' | 'alone';

export interface ProofsOptions {
  /** That takes the calls of this spec. */
  pool(spec: ModuleSpec): FunctionPool;
  /** One more, for a proof alone. */
  make(spec: ModuleSpec, where: ProvedWhere): FunctionPool;
  definition(spec: ModuleSpec): BaseDefinition | undefined;
  /** Of bases in which modules of groups are proved. */
  groups: Groups;
}

/** How often a module is brought into a group whose base died meanwhile. */
const INSTALLS = 3;

export class Proofs {
  readonly #options: ProofsOptions;

  constructor(options: ProofsOptions) {
    this.#options = options;
  }

  /** The base that proves it becomes its first instance; one of a group then stands in the base of that. */
  async prove(spec: ModuleSpec, readyPath: string | null): Promise<ProbeResult> {
    if (spec.group === null) return proveIn(this.#options.pool(spec), readyPath);
    let proved: ProbeResult;
    try {
      proved = await this.#apart(spec, readyPath, 'proofs');
    } catch (error) {
      if (error instanceof HearthError && error.functionStack !== undefined) throw error;
      // It may have been another one that was proved there.
      proved = await this.#apart(spec, readyPath, 'alone');
    }
    await this.#install(spec);
    return proved;
  }

  /** Not in the base of its group, so that what it breaks is nobody else's. */
  async #apart(spec: ModuleSpec, readyPath: string | null, where: ProvedWhere): Promise<ProbeResult> {
    const { make, definition, groups } = this.#options;
    const pool = make(spec, where);
    try {
      return await proveIn(pool, readyPath);
    } catch (error) {
      const used = definition(spec);
      if (where === 'proofs' && used !== undefined) groups.leave(spec, used, 'a proof failed here');
      throw error;
    } finally {
      void pool.retire('it was proved');
    }
  }

  /** A base that dies meanwhile was, as the module has been proved, hardly ended by this one. */
  async #install(spec: ModuleSpec): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#options.pool(spec).install();
        return;
      } catch (error) {
        const crashed = error instanceof HearthError && error.code === 'FUNCTION_CRASHED';
        if (!crashed || attempt === INSTALLS) throw error;
      }
    }
  }
}

async function proveIn(pool: FunctionPool, readyPath: string | null): Promise<ProbeResult> {
  const begun = monotonicMs();
  const { head, codeCache } = await pool.probe().loaded.promise;
  const loadedAt = monotonicMs();
  if (readyPath !== null) await askReady(pool, readyPath);
  return { handlers: head.handlers, codeCache, loadMs: loadedAt - begun, probeMs: monotonicMs() - loadedAt };
}
