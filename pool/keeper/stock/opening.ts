/**
 * When the pool is open: each base definition that keeps stock has a warm base, so that no function waits for a boot of
 * its own, or is known not to come up, which must not keep the functions of all others from being served. The rest of
 * the stock boots while requests are served already.
 */
export class Opening<Definition> {
  readonly #missing: Set<Definition>;
  readonly #open = Promise.withResolvers<void>();
  #anyWarm = false;

  /** Definitions that keep stock. With none there is nothing to wait for. */
  constructor(definitions: Iterable<Definition>) {
    this.#missing = new Set(definitions);
    if (this.#missing.size === 0) this.#open.resolve();
  }

  /** Never resolves while no base comes up at all. */
  get open(): Promise<void> {
    return this.#open.promise;
  }

  warm(definition: Definition): void {
    this.#anyWarm = true;
    this.#settle(definition);
  }

  broken(definition: Definition): void {
    this.#settle(definition);
  }

  #settle(definition: Definition): void {
    this.#missing.delete(definition);
    if (this.#missing.size === 0 && this.#anyWarm) this.#open.resolve();
  }
}
