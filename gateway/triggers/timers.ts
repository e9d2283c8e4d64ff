/** Timers as an argument, so that tests move the time themselves. */

export interface Timers {
  /** Calls once after so many ms; the function returned calls it off. */
  after(ms: number, call: () => void): () => void;
}

export const realTimers: Timers = {
  after(ms, call) {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
};
