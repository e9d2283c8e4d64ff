/** Rollouts, under way and ended. */
import { HearthError } from '../../../functions/contract/errors.ts';
import type { Guard, RolloutState, RolloutStep } from '../../../functions/contract/rollout.ts';
import type { Traffic } from '../../../functions/contract/traffic.ts';

export interface RolloutRecord {
  id: string;
  /** Counts its changes, from 1. */
  revision: number;
  functions: {
    name: string;
    version: string;
    /** Traffic when it began: what it returns to. */
    before: Traffic;
    /** What a rollback led to when it began. */
    previous: Traffic | null;
  }[];
  steps: RolloutStep[];
  /** false: nobody watches. */
  guard: Guard | false;
  /** This and what follows: see gateway/rollouts/state.ts. */
  state: RolloutState;
  step: number;
  elapsedMs: number;
  since: number;
  why: string | null;
  /** Token id or `admin`. */
  createdBy: string;
  createdAt: number;
  updatedAt: number;
}

export interface RolloutStore {
  /**
   * Creates or replaces it. Throws CONFLICT unless its revision is the next one after what is stored: so of several
   * gateways, one that was stopped in the middle too, only one takes each step. Of those that have ended the last thousand
   * are kept.
   */
  put(record: RolloutRecord): Promise<void>;
  get(id: string): Promise<RolloutRecord | null>;
  /** Newest first. */
  list(most: number): Promise<RolloutRecord[]>;
  /** All that have not ended, oldest first. */
  running(): Promise<RolloutRecord[]>;
}

/** For a revision that is not the next one. */
export function changedMeanwhile({ id }: Pick<RolloutRecord, 'id'>): HearthError {
  return new HearthError('CONFLICT', `The rollout ${id} was changed meanwhile; look at it and ask again.`);
}
