/** What the state takes up. */

export interface DiskStore {
  /** Bytes of all that is stored: in SQLite what of the file is in use, in Redis the memory of its server. */
  used(): Promise<number>;
}
