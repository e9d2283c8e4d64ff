/**
 * A gateway that nobody asks for anything gives back what work has left behind. The collector stops the loop meanwhile,
 * so it waits until a whole while has passed without an invocation or a change.
 */
import type { Timers } from './triggers/timers.ts';

/** After so long without anything to do, a first request is not likely to come in the very next moment. */
export const REST_AFTER_MS = 3_000;
/** Memory has to have grown by so much since it was given back last, or a rhythm of a minute would collect each minute. */
const GROWTH = 1.1;

export interface Rest {
  /** Something was done. On the path of every call. */
  touch(): void;
  end(): void;
}

export interface RestParts {
  timers: Timers;
  /** Memory in use, bytes. */
  bytes(): number;
  compact(): void;
}

/** The start itself counts as work. */
export function createRest({ timers, bytes, compact }: RestParts): Rest {
  let touched = true;
  let rested = 0;
  let cancel: () => void = () => undefined;
  const look = () => {
    if (!touched && bytes() > rested * GROWTH) {
      compact();
      rested = bytes();
    }
    touched = false;
    cancel = timers.after(REST_AFTER_MS, look);
  };
  look();
  return {
    touch() {
      touched = true;
    },
    end: () => cancel(),
  };
}
