/**
 * The base definitions of the pool. Of each name one generation is in use, from which every lease is; beside it may stand
 * one that is tried, and those that are left until nothing runs in their bases any more.
 *
 *   tried ──prepare──► next ──use──► in use ──another is used──► left ──nothing holds it──► (gone)
 *     └──────────────────┴─────────────── leave ───────────────────►┘
 */
import type { BaseDefinition } from '../definition.ts';

export type Role = 'tried' | 'next' | 'in use' | 'left';

export class Definitions {
  readonly #roles = new Map<BaseDefinition, Role>();

  constructor(inUse: Iterable<BaseDefinition>) {
    for (const definition of inUse) this.#roles.set(definition, 'in use');
  }

  /** The generation from which leases of this name are. */
  inUse(name: string): BaseDefinition | undefined {
    for (const [definition, role] of this.#roles) if (role === 'in use' && definition.name === name) return definition;
    return undefined;
  }

  get all(): readonly BaseDefinition[] {
    return [...this.#roles.keys()];
  }

  has(definition: BaseDefinition): boolean {
    return this.#roles.has(definition);
  }

  roleOf(definition: BaseDefinition): Role {
    return this.#roles.get(definition) ?? 'left';
  }

  /** One more generation, of which leases are only where they ask for it by itself. */
  try(definition: BaseDefinition): void {
    this.#roles.set(definition, 'tried');
  }

  /** It will be used: its stock is to be filled. */
  prepare(definition: BaseDefinition): void {
    if (this.#roles.get(definition) !== 'in use') this.#roles.set(definition, 'next');
  }

  /** Leases are of it from now on; the one before is left. */
  use(definition: BaseDefinition): void {
    const before = this.inUse(definition.name);
    if (before !== undefined) this.#roles.set(before, 'left');
    this.#roles.set(definition, 'in use');
  }

  leave(definition: BaseDefinition): void {
    if (this.#roles.has(definition)) this.#roles.set(definition, 'left');
  }

  get left(): BaseDefinition[] {
    return this.all.filter((definition) => this.roleOf(definition) === 'left');
  }

  forget(definition: BaseDefinition): void {
    this.#roles.delete(definition);
  }
}
