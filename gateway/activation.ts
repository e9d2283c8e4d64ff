/** Tells the pool which versions take traffic: their minimum of instances is kept loaded, and their reserve held. */
import type { Keeper } from '../pool/keeper/api.ts';
import type { Registry } from './registry/registry.ts';

/** From now on, for what is active already and for what will be. Returns a function that ends it. */
export function keepActive(
  registry: Pick<Registry, 'function' | 'functions' | 'onChange'>,
  keeper: Pick<Keeper, 'activate'>,
): () => void {
  function activate(name: string): void {
    const active = registry.function(name)?.active;
    // Others need no pool before their first call: there may be ten thousand of them.
    if (active?.claims.resident === true) keeper.activate(active.spec);
  }
  for (const { record } of registry.functions()) activate(record.name);
  return registry.onChange(activate);
}
