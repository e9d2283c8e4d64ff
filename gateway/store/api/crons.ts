/** Crons: when they are due, and who runs them. */

export interface CronRecord {
  /** `function/index`-like, stable over deploys as long as function and expression stay. */
  id: string;
  functionName: string;
  expression: string;
  timezone: string;
  missed: 'skip' | 'once' | 'all';
  overlap: 'skip' | 'allow' | 'queue';
  paused: boolean;
  /** Epoch ms of the next due time; null when there is none. */
  nextAt: number | null;
  /** Runs that have not ended, of all gateways. */
  running: number;
  /** Epoch ms: due times up to it have had their turn, run or not; 0 before the first. */
  firedUntil: number;
  /** What began or was skipped last; when that was skipped, and a run ends, the run. */
  last: {
    dueAt: number;
    /** Of the first attempt. */
    startedAt: number;
    endedAt: number | null;
    outcome: 'running' | 'ok' | 'error' | 'skipped';
    /** 2 and more: its gateway died, and another took it over. */
    attempts: number;
    invocationId: string;
    error: string | null;
  } | null;
}

/** What a manifest and the clock say of a cron. */
export type CronPlan = Omit<CronRecord, 'last' | 'paused' | 'running' | 'firedUntil'>;

/** One due time, to be run or to be passed over. */
export interface CronClaim {
  id: string;
  /** Must be its nextAt. */
  dueAt: number;
  /** Becomes its nextAt. */
  nextAt: number | null;
  startedAt: number;
  invocationId: string;
  /** Why it is not run; null: it is. */
  skipped: string | null;
  /** Only while no run of it is under way. */
  alone: boolean;
}

export type CronClaimed =
  | { state: 'claimed' }
  /** It was to be alone, and is not; nothing has changed. */
  | { state: 'busy' }
  /** That due time is another's, or is none; how it stands now. */
  | { state: 'passed'; nextAt: number | null; paused: boolean }
  | { state: 'gone' };

export interface CronEnd {
  id: string;
  invocationId: string;
  endedAt: number;
  outcome: 'ok' | 'error';
  error: string | null;
}

export interface CronStore {
  /** In order of their ids; of one function, or of all. */
  list(functionName?: string): Promise<CronRecord[]>;
  /**
   * Sets the crons of one function to exactly these, and returns them as they stand. Of ids that stay, what was run and `paused`
   * are kept, and `nextAt` too while expression and time zone are the same: any number of gateways may say so, late too,
   * and no due time comes back.
   */
  replace(functionName: string, crons: CronPlan[]): Promise<CronRecord[]>;
  /**
   * Each due time of a cron is given to exactly one caller, whose run it is until `leaseUntil`. Answers in the order of
   * the claims.
   */
  claim(claims: CronClaim[], owner: string, leaseUntil: number): Promise<CronClaimed[]>;
  /** Lengthens the leases of all runs of this owner; returns the invocation ids of those that are still its own. */
  extend(owner: string, leaseUntil: number): Promise<string[]>;
  /**
   * Takes over runs that have not ended and whose lease has: each is given to one caller, with the same invocation id and
   * the number of its attempt. Runs of `owner` itself are never given, unless `mine`: at its start, when nothing of it can
   * run any more.
   */
  takeOver(
    owner: string,
    nowMs: number,
    leaseUntil: number,
    mine: boolean,
  ): Promise<{ id: string; dueAt: number; startedAt: number; invocationId: string; attempt: number }[]>;
  /** Returns the invocation ids that were refused: such a run is another's by now, has ended, or is of a cron that is gone. */
  finish(ends: CronEnd[], owner: string): Promise<string[]>;
  setPaused(id: string, paused: boolean, nextAt: number | null): Promise<boolean>;
}
