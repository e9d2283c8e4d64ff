/** Tells the pool which version of a function its neighbours in a group may call without asking the gateway. */
import type { Keeper } from '../pool/keeper/api.ts';
import type { Registry } from './registry/registry.ts';

/**
 * From now on, for functions of groups. Where the traffic setting leaves something to choose, by rules or by percent, the
 * gateway chooses for each call; and while a rollout moves the function, since a call that does not pass the gateway is
 * judged by no guard. Returns a function that ends it.
 */
export function keepDirect(
  registry: Pick<Registry, 'function' | 'functions' | 'isRolledOut' | 'onChange'>,
  keeper: Pick<Keeper, 'direct'>,
): () => void {
  const told = new Map<string, string>();

  function tell(name: string): void {
    const entry = registry.function(name);
    const decided = entry?.plan?.single != null && entry.active?.claims.grouped === true && !registry.isRolledOut(name);
    const key = decided ? (entry.active?.key ?? null) : null;
    if ((told.get(name) ?? null) === key) return;
    if (key === null) told.delete(name);
    else told.set(name, key);
    keeper.direct(name, key);
  }
  for (const { record } of registry.functions()) tell(record.name);
  return registry.onChange(tell);
}
