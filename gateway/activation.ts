/** Tells the pool which versions take traffic: their minimum of instances is kept loaded, and their reserve held. */
import type { Keeper } from '../pool/keeper/api.ts';
import type { Registry } from './registry/registry.ts';
import type { Logger } from './telemetry/log.ts';

/**
 * From now on, for what takes traffic already and for what will. A version that a rollback leads back to keeps what it
 * has loaded for a while; one that nothing leads to ends what it runs and is gone. Returns a function that ends it.
 */
export function keepActive(
  registry: Pick<Registry, 'function' | 'functions' | 'onChange' | 'onLeave'>,
  keeper: Pick<Keeper, 'activate' | 'deactivate' | 'retire'>,
  log: Pick<Logger, 'error'>,
): () => void {
  /** By function: keys of what was deactivated. */
  const resting = new Map<string, Set<string>>();

  function activate(name: string): void {
    const entry = registry.function(name);
    const rested = resting.get(name);
    if (entry === undefined) resting.delete(name);
    for (const version of entry?.serving ?? []) {
      // Others need no pool before their first call: there may be ten thousand of them.
      if (rested?.delete(version.key) === true || version.claims.resident) keeper.activate(version.spec);
    }
  }
  for (const { record } of registry.functions()) activate(record.name);
  const endings = [
    registry.onChange(activate),
    registry.onLeave(({ version: { key, functionName, version }, mayReturn, why }) => {
      if (mayReturn) {
        resting.getOrInsertComputed(functionName, () => new Set()).add(key);
        keeper.deactivate(key);
        return;
      }
      resting.get(functionName)?.delete(key);
      keeper.retire(key, why).catch((error: unknown) => {
        log.error('retiring a version failed', { function: functionName, version, error });
      });
    }),
  ];
  return () => {
    for (const end of endings) end();
  };
}
