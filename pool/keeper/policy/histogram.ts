/**
 * How long a function was idle before it was used again, in bins of a minute up to four hours: what keep-alive.ts
 * decides from. After Shahrad et al., "Serverless in the Wild" (ATC 2020).
 *
 * 240 bytes a function. A bin that is full halves all of them, so that what is long past counts less and less.
 */
export const BIN_MS = 60_000;
export const BINS = 240;
const FULL = 255;

export class IdleHistogram {
  readonly #bins = new Uint8Array(BINS);
  #inRange = 0;
  #outOfRange = 0;

  /** Idle times seen, those out of range included. Old ones count less. */
  get samples(): number {
    return this.#inRange + this.#outOfRange;
  }

  /** Share of idle times longer than four hours, 0 to 1. */
  get outOfRange(): number {
    return this.samples === 0 ? 0 : this.#outOfRange / this.samples;
  }

  record(idleMs: number): void {
    const bin = Math.floor(Math.max(0, idleMs) / BIN_MS);
    if (bin >= BINS) {
      if (this.#outOfRange === FULL) this.#halve();
      this.#outOfRange++;
      return;
    }
    if (this.#bins[bin] === FULL) this.#halve();
    this.#bins[bin] = (this.#bins[bin] ?? 0) + 1;
    this.#inRange++;
  }

  /** The bin in which this share (0 to 1) of the idle times within range is reached; 0 when there are none. */
  percentileBin(share: number): number {
    const wanted = share * this.#inRange;
    let sum = 0;
    for (let bin = 0; bin < BINS; bin++) {
      sum += this.#bins[bin] ?? 0;
      if (sum > 0 && sum >= wanted) return bin;
    }
    return 0;
  }

  /** Coefficient of variation of the counts: near 0 when each bin holds as many, high when a few hold them all. */
  get variation(): number {
    if (this.#inRange === 0) return 0;
    const mean = this.#inRange / BINS;
    let squares = 0;
    for (const count of this.#bins) squares += (count - mean) ** 2;
    return Math.sqrt(squares / BINS) / mean;
  }

  #halve(): void {
    this.#inRange = 0;
    for (let bin = 0; bin < BINS; bin++) {
      const half = (this.#bins[bin] ?? 0) >> 1;
      this.#bins[bin] = half;
      this.#inRange += half;
    }
    this.#outOfRange >>= 1;
  }
}
