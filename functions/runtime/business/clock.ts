/** Time and chance as arguments, so that a test of a backoff waits for nothing. */
export interface Clock {
  /** Monotonic ms. */
  now(): number;
  /** Resolves with true once the time is over, with false as soon as the signal is aborted. Never rejects. */
  sleep(ms: number, signal: AbortSignal): Promise<boolean>;
  /** 0 to 1. */
  random(): number;
}

export const realClock: Clock = {
  now: () => performance.now(),
  random: Math.random,
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve(false);
      const end = (elapsed: boolean) => {
        clearTimeout(timer);
        signal.removeEventListener('abort', aborted);
        resolve(elapsed);
      };
      const aborted = () => end(false);
      const timer = setTimeout(() => end(true), ms);
      signal.addEventListener('abort', aborted, { once: true });
    }),
};
