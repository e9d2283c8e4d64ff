/** Who is blamed for hosts that went down, and what follows: quarantine, for a group all of it together. */
import type { HearthError } from '../../../functions/contract/errors.ts';
import { monotonicMs } from '../../../functions/contract/invocation.ts';
import type { ModuleSpec, PoolEvent } from '../api.ts';
import { groupKey } from '../groups/groups.ts';
import { Quarantine } from './quarantine.ts';

export interface BlameOptions {
  event(event: PoolEvent): void;
  /** Epoch ms. */
  now(): number;
  /** Nobody who is blamed under this key is served any more. */
  refuse(key: string, refusal: HearthError): void;
}

export class Blame {
  readonly #options: BlameOptions;
  readonly #quarantine = new Quarantine();

  constructor(options: BlameOptions) {
    this.#options = options;
  }

  /** What a caller is told at this moment; null: it is served. On the path of each call. */
  refusal(spec: ModuleSpec, now: number): HearthError | null {
    return this.#quarantine.isEmpty ? null : this.#quarantine.refusal(blamedKey(spec), now);
  }

  /** A host is gone on account of this: of a function, or of a group under its own name. */
  tookDown({ key, functionName }: ModuleSpec, why: string): void {
    const now = monotonicMs();
    if (!this.#quarantine.killed(key, why, now)) return;
    this.#note(key, functionName, 'quarantined', why);
    const refusal = this.#quarantine.refusal(key, now);
    if (refusal !== null) this.#options.refuse(key, refusal);
  }

  /** It, and what is served apart from it, which runs the same code, begins afresh. */
  deployedAgain(spec: ModuleSpec): void {
    const free = [...this.#quarantine.lift(blamedKey(spec)), ...this.#quarantine.liftParts(spec.key)];
    for (const key of free) this.#lifted(key, 'it was deployed again');
  }

  /** Frees whose time is over. Call it now and then. */
  sweep(): void {
    for (const key of this.#quarantine.expired(monotonicMs())) this.#lifted(key, 'its time is over');
  }

  #lifted(key: string, why: string): void {
    this.#note(key, key.slice(0, key.lastIndexOf('@')), 'lifted', why);
  }

  #note(key: string, functionName: string, what: 'quarantined' | 'lifted', why: string): void {
    const { event, now } = this.#options;
    event({ time: now(), subject: 'function', id: key, what, why, function: functionName });
  }
}

/** Under which key this is put in quarantine. */
export function blamedKey(spec: ModuleSpec): string {
  return spec.group === null ? spec.key : groupKey(spec);
}
