/** Memory of one process from the outside, cheap enough for several looks a second: `statm`, kept open. */
import { closeSync, openSync, readSync } from 'node:fs';

const PAGE_BYTES = 4096;

export interface Resident {
  /** All that is in memory. */
  bytes: number;
  /** Of that, what is shared with files: the same pages in each host. */
  sharedBytes: number;
}

export class ResidentMeter {
  readonly #pid: number;
  readonly #buffer = Buffer.alloc(128);
  #fd: number | null = null;
  #closed = false;

  constructor(pid: number) {
    this.#pid = pid;
  }

  /** Null where there is no /proc, or the process has gone. */
  read(): Resident | null {
    if (this.#closed) return null;
    try {
      this.#fd ??= openSync(`/proc/${this.#pid}/statm`, 'r');
      const length = readSync(this.#fd, this.#buffer, 0, this.#buffer.length, 0);
      const [, resident, shared] = this.#buffer.toString('latin1', 0, length).split(' ');
      if (resident === undefined || shared === undefined) return null;
      return { bytes: Number(resident) * PAGE_BYTES, sharedBytes: Number(shared) * PAGE_BYTES };
    } catch {
      return null; // it is unknown, which is what is returned
    }
  }

  close(): void {
    this.#closed = true;
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }
}
