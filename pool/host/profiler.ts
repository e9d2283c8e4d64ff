/**
 * Profiles of a base's thread, taken from outside of it: its code takes no part in that and cannot refuse. One at a time in
 * a host, handed out a piece at a time as the gateway asks, so that none of it heaps up on the way.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { type FromHost, PROFILE_PIECE_BYTES, type ToHost } from './messages.ts';
import type { Watch } from './watch.ts';

export interface ProfilerOptions {
  /** The live thread of that base. */
  worker(base: string): Worker | undefined;
  /** While a snapshot is taken the thread stands still, for no fault of its code, and the process grows. */
  watch: Pick<Watch, 'snapshot' | 'resume' | 'snapshotOver'>;
  say(message: FromHost): void;
}

/** Milliseconds between two samples. */
const SAMPLE_MS = 1;

type Begin = Extract<ToHost, { type: 'profile' }>;

interface Profile {
  id: number;
  pieces: AsyncGenerator<Buffer>;
  given: AbortController;
}

export class Profiler {
  readonly #options: ProfilerOptions;
  #current: Profile | null = null;

  constructor(options: ProfilerOptions) {
    this.#options = options;
  }

  /** Says the first piece when there is one. */
  begin({ id, base, profile, ms }: Begin): void {
    this.#current?.given.abort();
    const given = new AbortController();
    const worker = this.#options.worker(base);
    if (worker === undefined) {
      this.#options.say({ type: 'profile-failed', id, why: 'its thread is gone' });
      return;
    }
    worker.once('exit', () => given.abort());
    const pieces =
      profile === 'cpu' ? cpuProfile(worker, ms, given.signal) : this.#heapSnapshot(worker, base, given.signal);
    this.#current = { id, pieces, given };
    void this.#say(this.#current);
  }

  more(id: number): void {
    if (this.#current?.id === id) void this.#say(this.#current);
  }

  stop(id: number): void {
    if (this.#current?.id !== id) return;
    const { given, pieces } = this.#current;
    this.#current = null;
    given.abort();
    // Of one that waits for its thread, when that has answered.
    pieces.return(undefined).catch(() => undefined);
  }

  async #say(profile: Profile): Promise<void> {
    const { id, pieces, given } = profile;
    let message: FromHost;
    try {
      const next = await pieces.next();
      message = { type: 'profile-piece', id, text: next.value?.latin1Slice() ?? '', last: next.done === true };
    } catch (error) {
      const why = given.signal.aborted ? 'its thread has ended' : String(error);
      message = { type: 'profile-failed', id, why };
    }
    // Nobody waits for it any more.
    if (this.#current !== profile) return;
    if (message.type === 'profile-failed' || message.last) this.#current = null;
    this.#options.say(message);
  }

  async *#heapSnapshot(worker: Worker, base: string, signal: AbortSignal): AsyncGenerator<Buffer> {
    const { watch } = this.#options;
    watch.snapshot(base);
    const taking = worker.getHeapSnapshot();
    const goesOn = () => watch.resume(base);
    taking.then(goesOn, goesOn);
    try {
      const snapshot = await unless(signal, taking, (late) => late.destroy());
      try {
        for await (const chunk of snapshot) yield* cut(chunk as Buffer);
      } finally {
        snapshot.destroy();
      }
    } finally {
      // Of one that was given up meanwhile too.
      const over = () => watch.snapshotOver();
      taking.then(over, over);
    }
  }
}

async function* cpuProfile(worker: Worker, ms: number, signal: AbortSignal): AsyncGenerator<Buffer> {
  const stop = (handle: CpuProfile) => handle.stop().catch(() => '');
  const handle = await unless(signal, worker.startCpuProfile({ sampleInterval: SAMPLE_MS }), (late) => void stop(late));
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    void stop(handle);
    throw error;
  }
  yield* cut(Buffer.from(await unless(signal, handle.stop(), () => undefined)));
}

type CpuProfile = Awaited<ReturnType<Worker['startCpuProfile']>>;

function* cut(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += PROFILE_PIECE_BYTES) yield bytes.subarray(at, at + PROFILE_PIECE_BYTES);
}

/** A thread that has ended, or does not come to it, answers nothing. `unwanted`: what is to be done with a late answer. */
async function unless<T>(signal: AbortSignal, answer: Promise<T>, unwanted: (late: T) => void): Promise<T> {
  const { promise: given, reject } = Promise.withResolvers<never>();
  const giveUp = () => {
    answer.then(unwanted, () => undefined);
    reject(signal.reason);
  };
  if (signal.aborted) giveUp();
  else signal.addEventListener('abort', giveUp, { once: true });
  try {
    return await Promise.race([answer, given]);
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}
