/** Does something again whenever what it was made from has changed: at once, never twice at a time, and never too rarely. */

export interface Rerun {
  /** Something has changed. */
  changed(): void;
  /** Resolves when nothing is under way. Nothing more is begun. */
  end(): Promise<void>;
}

/**
 * `settleMs` after the first change it begins: an editor empties a file and then writes it, or writes several. Changes
 * that come while it runs lead to one more run. `work` does not reject.
 */
export function createRerun(work: () => Promise<void>, settleMs: number): Rerun {
  let state: 'idle' | 'settling' | 'running' | 'again' | 'ended' = 'idle';
  let running = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;

  function settle(): void {
    state = 'settling';
    timer = setTimeout(() => {
      state = 'running';
      running = work().then(() => {
        if (state === 'again') settle();
        else if (state !== 'ended') state = 'idle';
      });
    }, settleMs);
  }

  return {
    changed() {
      if (state === 'idle') settle();
      else if (state === 'running') state = 'again';
    },
    async end() {
      state = 'ended';
      clearTimeout(timer);
      await running;
    },
  };
}
