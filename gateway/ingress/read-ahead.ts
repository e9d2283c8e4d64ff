/** Reads a request's body before it is known who is to get it, for traffic that is decided by a field of it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { EarlyBody } from '../registry/ask.ts';

/** Bodies read ahead that are in memory at once. More is answered with NO_CAPACITY. */
export const MOST_READ_AHEAD_BYTES = 64 * 1024 * 1024;
/** The choice waits no longer for a body: then it is made without. */
const WAIT_MS = 10_000;

/** `ready`: choose. `full`: too many of them are in memory. `gone`: the client. */
export type ReadAheadOutcome = 'ready' | 'full' | 'gone';

/** One for all requests, since what they hold is counted together. */
export class ReadAhead {
  readonly #mostBytes: number;
  readonly #waitMs: number;
  #heldBytes = 0;

  constructor(mostBytes = MOST_READ_AHEAD_BYTES, waitMs = WAIT_MS) {
    this.#mostBytes = mostBytes;
    this.#waitMs = waitMs;
  }

  /** Calls back once, not before it has returned. Afterwards the request is paused, and what it held is the caller's. */
  read(req: IncomingMessage, res: ServerResponse, early: EarlyBody, done: (outcome: ReadAheadOutcome) => void): void {
    let held = 0;
    const finish = (outcome: ReadAheadOutcome) => {
      clearTimeout(timer);
      req.off('data', onData);
      req.off('end', onEnd);
      res.off('close', onGone);
      req.pause();
      this.#heldBytes -= held;
      done(outcome);
    };
    const onData = (chunk: Buffer) => {
      held += chunk.byteLength;
      this.#heldBytes += chunk.byteLength;
      const goOn = early.add(chunk);
      if (this.#heldBytes > this.#mostBytes) finish('full');
      else if (!goOn) finish('ready');
    };
    const onEnd = () => {
      early.end();
      finish('ready');
    };
    const onGone = () => finish('gone');
    const timer = setTimeout(finish, this.#waitMs, 'ready');
    req.on('data', onData);
    req.on('end', onEnd);
    res.on('close', onGone);
  }
}
