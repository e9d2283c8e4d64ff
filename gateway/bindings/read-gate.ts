/**
 * How much of stored values may stand in the gateway's memory for one trust group. A function may ask for thousands of
 * values at once and read none of them. Reads wait for each other; what waits for a reader that does not read is refused
 * after so much, since that reader may be waiting for the rest.
 */

/** Values being read at once: each may have 25 MB, and its size is known only when it is here. */
const MOST_READING = 8;
const MOST_HELD_BYTES = 64 * 1024 * 1024;

interface Group {
  reading: number;
  heldBytes: number;
  readonly waiting: (() => void)[];
}

export class ReadGate {
  readonly #groups = new Map<string, Group>();

  /** Resolves when a value may be read; then `read` has to be called, and `released` with the same bytes. */
  async enter(trustGroup: string): Promise<void> {
    const group = this.#groups.get(trustGroup) ?? { reading: 0, heldBytes: 0, waiting: [] };
    this.#groups.set(trustGroup, group);
    if (group.waiting.length > 0 || !mayRead(group)) await new Promise<void>((resolve) => group.waiting.push(resolve));
    else group.reading++;
  }

  /** It holds as much unread as it may. */
  full(trustGroup: string): boolean {
    return (this.#groups.get(trustGroup)?.heldBytes ?? 0) >= MOST_HELD_BYTES;
  }

  /** The value is here, or there is none. */
  read(trustGroup: string, bytes: number): void {
    this.#change(trustGroup, -1, bytes);
  }

  /** It has been sent, or nobody wants it any more. */
  released(trustGroup: string, bytes: number): void {
    this.#change(trustGroup, 0, -bytes);
  }

  #change(trustGroup: string, reading: number, bytes: number): void {
    const group = this.#groups.get(trustGroup);
    if (group === undefined) return;
    group.reading += reading;
    group.heldBytes += bytes;
    while (group.waiting.length > 0 && mayRead(group)) {
      group.reading++;
      group.waiting.shift()?.();
    }
    if (group.reading === 0 && group.heldBytes === 0 && group.waiting.length === 0) this.#groups.delete(trustGroup);
  }
}

function mayRead({ reading }: Group): boolean {
  return reading < MOST_READING;
}
