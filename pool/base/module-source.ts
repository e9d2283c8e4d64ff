/** Code and code cache of a module while they arrive, put where they are needed: each byte is copied once. */
import { Buffer, isAscii } from 'node:buffer';
import type { LoadHead } from '../../functions/contract/invocation.ts';
import { type Frame, frameOf } from './loader.ts';

export class ModuleSource {
  /** With the frame around it, as a string put together afterwards would be copied once more to be compiled. */
  readonly #code: Buffer;
  readonly #cache: Buffer;
  readonly #frame: Frame;
  readonly #codeBytes: number;
  #received = 0;

  constructor(head: Pick<LoadHead, 'format' | 'codeBytes' | 'cacheBytes' | 'group'>) {
    const { codeBytes, cacheBytes } = head;
    this.#frame = frameOf(head);
    this.#codeBytes = codeBytes;
    const { before, after } = this.#frame;
    this.#code = Buffer.allocUnsafeSlow(before.length + codeBytes + after.length);
    this.#code.write(before, 0, 'latin1');
    this.#code.write(after, before.length + codeBytes, 'latin1');
    this.#cache = Buffer.allocUnsafeSlow(cacheBytes);
  }

  push(chunk: Uint8Array): void {
    const ofCode = Math.max(0, Math.min(chunk.length, this.#codeBytes - this.#received));
    if (ofCode > 0) this.#code.set(chunk.subarray(0, ofCode), this.#frame.before.length + this.#received);
    if (ofCode < chunk.length) this.#cache.set(chunk.subarray(ofCode), this.#received + ofCode - this.#codeBytes);
    this.#received += chunk.length;
  }

  /** What `evaluate…` of the loader takes. Throws when bytes are missing. */
  text(): string {
    if (this.#received !== this.#codeBytes + this.#cache.length) throw new Error('The code was cut short on its way.');
    // Half the time of UTF-8 for what builds make, which is ASCII.
    return isAscii(this.#code) ? this.#code.toString('latin1') : this.#code.toString('utf8');
  }

  get codeCache(): Uint8Array | null {
    return this.#cache.length === 0 ? null : this.#cache;
  }
}
