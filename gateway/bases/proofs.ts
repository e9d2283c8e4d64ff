/**
 * Which versions are known to come up on a generation of their base: what was deployed on it, what a change of the base
 * proved, and what traffic was moved to since. So a rollback, and traffic moved between such versions, cost nothing.
 * Held in memory: after a restart a version is proved again when traffic comes back to it.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import type { Keeper, ProbeResult } from '../../pool/keeper/api.ts';
import type { BaseDefinition } from '../../pool/keeper/definition.ts';
import type { Registry, VersionEntry } from '../registry/registry.ts';
import type { BaseGate } from './gate.ts';
import { missingIn } from './trial.ts';

/** What of an entry names it. */
export type Named = Pick<VersionEntry, 'functionName' | 'version'>;

export interface BaseProofs {
  /** Whether it came up on the generation of its base that is in use. */
  has(version: VersionEntry): boolean;
  /** It came up on this one. */
  note(version: Named, definition: BaseDefinition): void;
  /** This generation is used no more. */
  forget(definition: BaseDefinition): void;
  /**
   * Proves it on the generation in use, whatever is known, and leaves it loaded. Throws PROBE_FAILED that says why it does
   * not come up, NO_CAPACITY when there was no base for it. Whether it `has` been proved is to be asked afterwards: its
   * base may have been switched meanwhile.
   */
  prove(version: VersionEntry): Promise<ProbeResult>;
}

export interface BaseProofsParts {
  gate: Pick<BaseGate, 'turn'>;
  inUse: ReadonlyMap<string, BaseDefinition>;
  keeper: Pick<Keeper, 'probe'>;
  registry: Pick<Registry, 'function' | 'onChange'>;
}

export function createBaseProofs({ gate, inUse, keeper, registry }: BaseProofsParts): BaseProofs {
  /** By generation, then by function: ids of versions. */
  const known = new Map<BaseDefinition, Map<string, Set<string>>>();

  registry.onChange((name) => {
    const entry = registry.function(name);
    for (const functions of known.values()) {
      const versions = functions.get(name);
      if (entry === undefined) functions.delete(name);
      else
        for (const version of versions ?? []) if (entry.find(version)?.version !== version) versions?.delete(version);
    }
  });

  function note({ functionName, version }: Named, definition: BaseDefinition): void {
    const functions = known.getOrInsertComputed(definition, () => new Map());
    functions.getOrInsertComputed(functionName, () => new Set()).add(version);
  }

  return {
    has({ claims, functionName, version }) {
      const definition = inUse.get(claims.base);
      return definition !== undefined && known.get(definition)?.get(functionName)?.has(version) === true;
    },
    note,
    forget: (definition) => known.delete(definition),
    async prove(version) {
      const { claims, manifest, record, spec, functionName } = version;
      const turn = gate.turn(claims.base);
      const definition = inUse.get(claims.base);
      try {
        if (definition === undefined) throw new HearthError('PROBE_FAILED', 'There is no such base any more.');
        const missing = missingIn(definition, record, (await spec.image()).code);
        if (missing !== null) {
          const advice = 'Deploy its code anew, as another version, or change the base.';
          throw new HearthError('PROBE_FAILED', `${missing} ${advice}`);
        }
        const result = await keeper.probe(spec, manifest.hearth.ready);
        if (gate.turn(claims.base) === turn) note(version, definition);
        return result;
      } catch (error) {
        if (!(error instanceof HearthError) || error.code === 'NO_CAPACITY') throw error;
        throw new HearthError(
          'PROBE_FAILED',
          `Version ${version.version} of ${functionName} does not come up on the base "${claims.base}" as it is now, so the traffic stays where it is. ${error.message}`,
          { cause: error, functionStack: error.functionStack },
        );
      }
    },
  };
}
