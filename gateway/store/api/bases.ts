/** Base definitions that the API changed. */

/** One state of a base definition, as it was given: libraries are looked for anew at each start. */
export interface BaseGeneration {
  /** From 1; a number is never used twice for one name. */
  generation: number;
  shared: { as: string; from: string }[];
  /** Names of the gateway's variables. */
  env: string[];
  warm: number | null;
  /** Declarations, among them `Base`, the type of `env.BASE`; null: none were given. */
  types: string | null;
  /**
   * `path`: as the configuration file names it. `code`: the id under which BaseStore keeps the bundle, and what the
   * compiler declares of its source.
   */
  setup: { kind: 'path'; path: string } | { kind: 'code'; id: string; files: string[]; declared: string | null } | null;
  createdAt: number;
  /** Who gave it: token id, `admin`, or `file`. */
  by: string;
}

export interface BaseRecord {
  name: string;
  current: BaseGeneration;
  /** What a rollback leads to; null: there was none before. */
  previous: BaseGeneration | null;
  updatedAt: number;
}

export interface BaseStore {
  /** In the order of names. */
  list(): Promise<BaseRecord[]>;
  /** Creates or replaces. `setup`: a bundle that the record names and that is not stored yet. Those it no longer names go. */
  put(record: BaseRecord, setup: { id: string; code: Uint8Array } | null): Promise<void>;
  /** False when there was none. */
  delete(name: string): Promise<boolean>;
  getSetup(name: string, id: string): Promise<Uint8Array | null>;
}
