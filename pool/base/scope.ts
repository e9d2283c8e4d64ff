/** What code of a module finds around it, whoever else shares the base. */
export interface ModuleScope {
  /** The module's name in its base; empty: code of the base itself. */
  module: string;
  /** What `process.env` holds. */
  env: Record<string, string>;
  cwd: string;
  /** What its `require` gives beside built-ins. */
  provided(specifier: string): unknown;
}
