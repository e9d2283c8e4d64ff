/**
 * The time since an instance beyond the first was last needed: how long the one before it was needed meanwhile (load is
 * near), and how long it was not (far).
 */

/** Under `auto` an instance that is not the function's last one is kept so long at least. */
export const SURPLUS_HOLD_MS = 20_000;

export class Spell {
  readonly #sinceMs: number;
  #atMs: number;
  #near: boolean;
  /** Beyond the time that everything is kept anyway. */
  nearMs = 0;
  farMs = 0;
  /** One was loaded ahead since load came near: once is enough. */
  ahead = false;

  constructor(sinceMs: number, near: boolean) {
    this.#sinceMs = sinceMs;
    this.#atMs = sinceMs;
    this.#near = near;
  }

  get near(): boolean {
    return this.#near;
  }

  /** How much longer it is kept whatever it is worth, ms. */
  heldMs(nowMs: number): number {
    return Math.max(0, this.#sinceMs + SURPLUS_HOLD_MS - nowMs);
  }

  /** Until now it was as it was at the last look; from now on the one before it is needed or not. */
  look(nowMs: number, near: boolean): void {
    const ms = Math.max(0, nowMs - Math.max(this.#atMs, this.#sinceMs + SURPLUS_HOLD_MS));
    if (this.#near) this.nearMs += ms;
    else this.farMs += ms;
    this.#atMs = nowMs;
    this.#near = near;
    if (!near) this.ahead = false;
  }
}
