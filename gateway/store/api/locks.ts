/** Locks that functions hold, with fencing numbers. */

export interface LockStore {
  /**
   * The lock until `until`, where nobody has it. The fence is higher than that of every lock before it, of whatever name:
   * also after a restart, and after a restore from a backup, as long as the clock goes on. Held: until when.
   */
  take(
    namespace: string,
    name: string,
    nowMs: number,
    until: number,
  ): Promise<{ fence: number } | { fence: null; heldUntil: number }>;
  /** False when it is no longer held under this fence. */
  extend(namespace: string, name: string, fence: number, nowMs: number, until: number): Promise<boolean>;
  /** False when it was no longer held under this fence. */
  release(namespace: string, name: string, fence: number): Promise<boolean>;
  /** Removes locks that have ended, at most so many; returns how many. */
  sweep(nowMs: number, most: number): Promise<number>;
}
