/** Under which keys what serves a function may be in quarantine: of its versions, of a module of a group that of the group. */
import { blamedKey } from '../../pool/keeper/blame/blame.ts';
import type { Registry } from './registry.ts';

export function blamedKeysOf(registry: Pick<Registry, 'function'>, name: string): string[] {
  return registry.function(name)?.serving.map(({ spec }) => blamedKey(spec)) ?? [];
}
