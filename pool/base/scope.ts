import type { BaseModule } from '../../functions/contract/handlers.ts';

/** What code of a module finds around it, whoever else shares the base. */
export interface ModuleScope {
  /** The module's name in its base; empty: code of the base itself. */
  module: string;
  /** What `process.env` holds. */
  env: Record<string, string>;
  cwd: string;
  /** As the setup of the base knows it; null: code of the base itself. */
  identity: BaseModule | null;
  /** What its `require` gives beside built-ins. */
  provided(specifier: string): unknown;
}
