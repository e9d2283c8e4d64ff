/**
 * A base in stock gives back what booting and rehearsing left behind: a third of its memory is garbage and room for
 * more. That takes a core for some 30 ms, so it waits until no burst of leases is likely to want the base or the core.
 */

const REST_AFTER_MS = 3_000;

/** `compact` is called at most once: when the base has been left alone for so long, and never once it is leased. */
export class Rest {
  readonly #compact: () => void;
  #timer: NodeJS.Timeout | null = null;
  #leased = false;

  constructor(compact: () => void) {
    this.#compact = compact;
  }

  /** It was rehearsed a moment ago. */
  begin(): void {
    if (this.#leased) return;
    this.#stop();
    this.#timer = setTimeout(this.#compact, REST_AFTER_MS).unref();
  }

  leased(): void {
    if (this.#leased) return;
    this.#leased = true;
    this.#stop();
  }

  #stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
