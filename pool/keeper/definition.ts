/** A base definition as hosts are started with it: what `hearth.config.jsonc` or the API says, with libraries resolved. */
export interface BaseDefinition {
  name: string;
  /** Counts the changes of the definition of this name, from 1. Two of one number are never in use. Default: 1. */
  generation?: number;
  /** Exact import specifiers with the version found and the file that holds it. */
  shared: { specifier: string; library: string; version: string; path: string; bytes: number }[];
  setupPath: string | null;
  env: Record<string, string>;
  /** Warm bases without a lessee at least; without it as many as the pool's settings say. */
  warm?: number;
}
