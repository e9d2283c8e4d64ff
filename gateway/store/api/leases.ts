/** What only one gateway may do at a time. */

export interface LeaseStore {
  /** Takes or lengthens the lease of this name. The fence rises with each change of owner; null: another has it. */
  take(name: string, owner: string, nowMs: number, until: number): Promise<{ fence: number } | null>;
  /** Does nothing when another has it by now. */
  release(name: string, owner: string): Promise<void>;
}
