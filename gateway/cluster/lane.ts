/**
 * Work that somebody names again and again, done one after another: what is named while it is done is done next, each
 * name once; what failed is tried again until it is done. So a notice that came is never lost.
 */
import type { Logger } from '../telemetry/log.ts';
import type { Timers } from '../triggers/timers.ts';

export interface Lane {
  /** Null: whatever there is. */
  ask(names: readonly string[] | null): void;
  /** Begins nothing more; resolves when what is under way has ended. Idempotent. */
  end(): Promise<void>;
}

export interface LaneParts {
  /** What is done here, for the log. */
  what: string;
  work(names: readonly string[] | null): Promise<unknown>;
  timers: Timers;
  log: Pick<Logger, 'warn' | 'info'>;
}

const RETRY_MS = 1_000;

export function createLane({ what, work, timers, log }: LaneParts): Lane {
  let waiting: Set<string> | 'all' = new Set();
  let running: Promise<void> | null = null;
  let cancel: (() => void) | null = null;
  let failing = false;
  let ended = false;

  function add(names: readonly string[] | null): void {
    if (names === null || waiting === 'all') waiting = 'all';
    else for (const name of names) waiting.add(name);
  }

  function begin(): void {
    if (ended || running !== null || cancel !== null) return;
    running = run().finally(() => {
      running = null;
    });
  }

  async function run(): Promise<void> {
    while (!ended && (waiting === 'all' || waiting.size > 0)) {
      const names = waiting === 'all' ? null : [...waiting];
      waiting = new Set();
      try {
        await work(names);
        if (failing) log.info(`${what}: done again.`);
        failing = false;
      } catch (error) {
        add(names);
        if (!failing) log.warn(`${what}: failed; it is tried again.`, { error });
        failing = true;
        cancel = timers.after(RETRY_MS, () => {
          cancel = null;
          begin();
        });
        return;
      }
    }
  }

  return {
    ask(names) {
      add(names);
      begin();
    },
    async end() {
      ended = true;
      cancel?.();
      await running;
    },
  };
}
