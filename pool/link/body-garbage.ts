/**
 * Bodies pass through in buffers that live for a moment. V8 counts them as external memory and holds few bytes of young
 * space for each, so it meets its limit for external memory (64 MB since the last full collection) long before young space
 * is full, and collects everything each time: with 64 KB each way that took 40 % of the gateway's CPU. A young collection
 * frees the same buffers in half a millisecond.
 */

/** What may have become garbage before it is collected. */
const MOST_BYTES = 16 * 1024 * 1024;

export type CollectYoung = () => void;

export class BodyGarbage {
  readonly #collect: CollectYoung;
  #bytes = 0;

  constructor(collect: CollectYoung) {
    this.#collect = collect;
  }

  /** So many bytes of bodies were received, or given to be sent. */
  passed(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < MOST_BYTES) return;
    this.#bytes = 0;
    this.#collect();
  }
}
