import { RpcTarget, WorkerEntrypoint } from 'hearth';

/** A till's tape. It stays here, and whoever was given it calls it from afar. */
export class Tape extends RpcTarget {
  readonly #entries: number[] = [];

  add(cents: number): this {
    if (!Number.isSafeInteger(cents)) throw new RangeError(`${cents} is no number of cents.`);
    this.#entries.push(cents);
    return this;
  }

  get total(): number {
    return this.#entries.reduce((sum, cents) => sum + cents, 0);
  }

  /** The function is the caller's: it is called where it is, entry by entry. */
  async print(line: (cents: number, place: number) => unknown): Promise<number> {
    for (const [i, cents] of this.#entries.entries()) await line(cents, i + 1);
    return this.#entries.length;
  }
}

export default class Calculator extends WorkerEntrypoint {
  add(a: number, b: number): number {
    return a + b;
  }

  /** Values are whatever structured clone takes. */
  tally(words: Set<string>[]): Map<string, number> {
    const counts = new Map<string, number>();
    for (const set of words) for (const word of set) counts.set(word, (counts.get(word) ?? 0) + 1);
    return counts;
  }

  tape(): Tape {
    return new Tape();
  }
}
