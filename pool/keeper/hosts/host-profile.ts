/** A profile that is on its way from a host: asked for a piece at a time, each within its time, all of it within bounds. */
import { HearthError } from '../../../functions/contract/errors.ts';
import { type FromHost, PROFILE_PIECE_BYTES, type ProfileKind, type ToHost } from '../../host/messages.ts';

export interface HostProfileOptions {
  id: number;
  base: string;
  kind: ProfileKind;
  /** Of a CPU profile: how long it looks. */
  durationMs: number;
  send(message: ToHost): void;
}

type Told = Extract<FromHost, { type: 'profile-piece' | 'profile-failed' }>;

/** Beyond what it looks for: for a thread that is busy to answer, and for a heap to be written down. */
const FIRST_MS = { cpu: 30_000, heap: 120_000 } as const;
const NEXT_MS = 30_000;
const MOST_BYTES = { cpu: 128 * 2 ** 20, heap: 1024 * 2 ** 20 } as const;

export class HostProfile {
  readonly id: number;
  readonly kind: ProfileKind;
  readonly #options: HostProfileOptions;
  #asked: PromiseWithResolvers<Told> | null = null;

  constructor(options: HostProfileOptions) {
    this.id = options.id;
    this.kind = options.kind;
    this.#options = options;
  }

  /** Rejects with NO_CAPACITY when it does not come, and with what `signal` was aborted for. */
  async *pieces(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { id, base, kind, durationMs, send } = this.#options;
    let bytes = 0;
    let withinMs: number = durationMs + FIRST_MS[kind];
    let last = false;
    try {
      send({ type: 'profile', id, base, profile: kind, ms: durationMs });
      while (!last) {
        const told = await this.#told(withinMs, signal);
        if (told.type === 'profile-failed') throw failed(told.why);
        last = told.last;
        bytes += told.text.length;
        if (bytes > MOST_BYTES[kind]) throw failed(`it is over ${MOST_BYTES[kind] / 2 ** 20} MB`);
        if (told.text.length > 0) yield Buffer.from(told.text, 'latin1');
        withinMs = NEXT_MS;
        if (!last) send({ type: 'profile-more', id });
      }
    } finally {
      this.#asked = null;
      if (!last) send({ type: 'profile-stop', id });
    }
  }

  /** Throws when it was not asked for: function code runs in that process. */
  hear(told: Told): void {
    if (told.type === 'profile-failed' ? typeof told.why !== 'string' : !isPiece(told)) throw new Error('no piece');
    // One that was given up meanwhile may still be on its way.
    this.#asked?.resolve(told);
    this.#asked = null;
  }

  died(why: string): void {
    this.#asked?.reject(failed(why));
    this.#asked = null;
  }

  async #told(withinMs: number, signal: AbortSignal): Promise<Told> {
    const asked = Promise.withResolvers<Told>();
    this.#asked = asked;
    const timer = setTimeout(() => asked.reject(failed(`its thread did not answer within ${withinMs} ms`)), withinMs);
    const giveUp = () => asked.reject(signal.reason);
    signal.addEventListener('abort', giveUp, { once: true });
    if (signal.aborted) giveUp();
    try {
      return await asked.promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
    }
  }
}

function isPiece(told: { text: unknown; last: unknown }): boolean {
  return typeof told.text === 'string' && told.text.length <= PROFILE_PIECE_BYTES && typeof told.last === 'boolean';
}

function failed(why: string): HearthError {
  return new HearthError('NO_CAPACITY', `There is no profile: ${why}.`);
}
