/**
 * Invocations in order, each in one list at a time. Linked through the invocations themselves, and cut clean when one is
 * taken out: see pool/link/table.ts for why this is no Set.
 */
import type { Invocation } from './invocation.ts';

export class InvocationList {
  #first: Invocation | null = null;
  #last: Invocation | null = null;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get first(): Invocation | null {
    return this.#first;
  }

  /** At the end. It must be in no other list. */
  add(invocation: Invocation): void {
    if (invocation.list !== null) throw new Error('An invocation is in one list at a time.');
    invocation.list = this;
    invocation.before = this.#last;
    if (this.#last === null) this.#first = invocation;
    else this.#last.after = invocation;
    this.#last = invocation;
    this.#size++;
  }

  /** At the head. It must be in no other list. */
  addFirst(invocation: Invocation): void {
    if (invocation.list !== null) throw new Error('An invocation is in one list at a time.');
    invocation.list = this;
    invocation.after = this.#first;
    if (this.#first === null) this.#last = invocation;
    else this.#first.before = invocation;
    this.#first = invocation;
    this.#size++;
  }

  /** Nothing to do when it is not in this list. */
  delete(invocation: Invocation): void {
    if (invocation.list !== this) return;
    const { before, after } = invocation;
    if (before === null) this.#first = after;
    else before.after = after;
    if (after === null) this.#last = before;
    else after.before = before;
    invocation.list = null;
    invocation.before = null;
    invocation.after = null;
    this.#size--;
  }

  /** As they are now: the list may change while they are looked at. */
  entries(): Invocation[] {
    const all: Invocation[] = [];
    for (let at = this.#first; at !== null; at = at.after) all.push(at);
    return all;
  }
}
