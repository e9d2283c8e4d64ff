/** What Redis and the way to it say when they fail, as errors of ours. */
import { HearthError } from '../../../functions/contract/errors.ts';

/**
 * Redis is there and cannot do it now: full, loading, read only, without its disk, its password or its cluster. Older
 * ones put the words behind the place in the script.
 */
const NOT_NOW =
  /^(?:ERR Error running script[^@]*@user_script:\s?\d+: (?:@user_script: \d+: )?-?)?(OOM|READONLY|LOADING|BUSY|MISCONF|NOREPLICAS|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|NOAUTH|WRONGPASS|NOPERM|MOVED|ASK|UNKILLABLE)\b/;

/** Said by our own scripts (script.ts). */
export const GONE = 'HEARTHGONE';

export function isAway(cause: unknown): HearthError {
  return new HearthError('NO_CAPACITY', 'The store is away; it is looked for again and again.', {
    retryAfterS: 1,
    cause,
  });
}

/** Anything that ioredis rejects with. `last`: what was last heard of the connection. */
export function storeError(error: unknown, last: unknown): HearthError {
  if (error instanceof HearthError) return error;
  if (!isReply(error)) return isAway(last ?? error);
  if (error.message.includes(GONE)) {
    return new HearthError(
      'NO_CAPACITY',
      'The store no longer holds what this gateway works with: it was emptied, replaced, or taken over by a newer Hearth.',
      { cause: error, retryAfterS: 10 },
    );
  }
  const found = NOT_NOW.exec(error.message)?.[1];
  switch (found) {
    case undefined:
      return new HearthError('INTERNAL', 'The store did not understand what was asked.', { cause: error });
    case 'OOM':
      return new HearthError('NO_CAPACITY', 'The store is full.', { cause: error, retryAfterS: 5 });
    case 'READONLY':
      return new HearthError('NO_CAPACITY', 'The store takes no writes: it is a replica.', {
        cause: error,
        retryAfterS: 1,
      });
    default:
      return new HearthError('NO_CAPACITY', `The store cannot do it now (${found}).`, { cause: error, retryAfterS: 1 });
  }
}

export function isGone(error: unknown): boolean {
  return error instanceof HearthError && isReply(error.cause) && error.cause.message.includes(GONE);
}

export function isReadOnly(error: unknown): boolean {
  return isReply(error) && NOT_NOW.exec(error.message)?.[1] === 'READONLY';
}

export interface Node {
  host: string;
  port: number;
}

/** The node of a cluster that has our keys, when it is not the one that was asked. */
export function movedTo(error: unknown): Node | null {
  const moved = isReply(error) ? /^MOVED \d+ (\S+):(\d+)$/.exec(error.message) : null;
  return moved === null ? null : { host: moved[1] ?? '', port: Number(moved[2]) };
}

/** Redis itself said no, in contrast to a connection that broke. */
function isReply(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError';
}
