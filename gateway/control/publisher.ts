/** Publishing as every caller of the control API may do it: rights, handlers, what was split off before, the audit. */
import { HearthError } from '../../functions/contract/errors.ts';
import type { PublicationSettings } from '../../functions/contract/publication.ts';
import type { Keeper } from '../../pool/keeper/api.ts';
import type { FunctionEntry, Registry } from '../registry/registry.ts';
import type { Logger } from '../telemetry/log.ts';
import { type Caller, requireRoutes } from './access.ts';
import type { Audit } from './audit.ts';
import { functionNamed, requireDeploy } from './lookup.ts';

export interface PublisherParts {
  registry: Registry;
  keeper: Pick<Keeper, 'retire'>;
  audit: Audit;
  log: Pick<Logger, 'error'>;
}

export interface Publisher {
  /** True: it is new. Throws FORBIDDEN, NOT_FOUND, CONFLICT, and BAD_REQUEST for what its code has no handler for. */
  publish(caller: Caller, name: string, settings: PublicationSettings): Promise<boolean>;
  /** Throws FORBIDDEN, NOT_FOUND. */
  unpublish(caller: Caller, name: string): Promise<void>;
}

export function createPublisher({ registry, keeper, audit, log }: PublisherParts): Publisher {
  /** The pools of what was split off end once they have served what they were given. */
  function retireSplits(functionName: string, name: string, why: string): void {
    for (const { key } of registry.function(functionName)?.versions.values() ?? []) {
      keeper.retire(`${key}/${name}`, why).catch((error: unknown) => {
        log.error('retiring a split failed', { function: functionName, publication: name, error });
      });
    }
  }

  return {
    async publish(caller, name, settings) {
      const before = registry.publication(name);
      requireDeploy(caller, registry, settings.function);
      if (before !== undefined) requireDeploy(caller, registry, before.function);
      const entry = functionNamed(registry, settings.function);
      requireReach(caller, entry, settings);
      requireHandlers(entry, settings);

      await registry.putPublication(name, settings);
      const moved = before !== undefined && before.function !== settings.function;
      if (before !== undefined && (moved || JSON.stringify(before.splits) !== JSON.stringify(settings.splits))) {
        retireSplits(before.function, name, 'its publication was changed');
      }
      await audit(caller.id, 'publish', name, { ...settings });
      return before === undefined;
    },
    async unpublish(caller, name) {
      requireDeploy(caller, registry, registry.publication(name)?.function ?? name);
      const functionName = await registry.deletePublication(name);
      if (functionName === undefined) throw notPublished(name);
      retireSplits(functionName, name, 'its publication was taken back');
      await audit(caller.id, 'unpublish', name, { function: functionName });
    },
  };
}

export function notPublished(name: string): HearthError {
  return new HearthError('NOT_FOUND', `Nothing is published as "${name}"; GET /v1/publications lists what is.`);
}

/** Who publishes a function by its manifest takes on the manifest's routes. Throws FORBIDDEN. */
function requireReach(caller: Caller, { active }: FunctionEntry, settings: PublicationSettings): void {
  requireRoutes(caller, settings.routes ?? active?.claims.routes ?? []);
}

/** Throws BAD_REQUEST when the version that takes traffic could not serve what is asked for. */
function requireHandlers({ record, active }: FunctionEntry, { crons, queues }: PublicationSettings): void {
  if (active === undefined) return;
  const { handlers } = active.record;
  const missing = (key: string, handler: string) =>
    new HearthError('BAD_REQUEST', `body.${key}: "${record.name}" has no ${handler} handler.`);
  if (crons !== null && crons.length > 0 && !handlers.includes('scheduled')) throw missing('crons', 'scheduled');
  if (queues !== null && queues.length > 0 && !handlers.includes('queue')) throw missing('queues', 'queue');
}
