/** The Store over Redis: any number of gateways share it. Each method is one script; see script.ts. */
import type { Logger } from '../../telemetry/log.ts';
import { StoreStartError } from '../start-error.ts';
import type { Store } from '../store.ts';
import { answersDomain } from './answers.ts';
import { asyncsDomain } from './asyncs.ts';
import { auditDomain } from './audit.ts';
import { basesDomain } from './bases.ts';
import { createConnection, type Target } from './connection.ts';
import { cronsDomain } from './crons.ts';
import { BLOCK_MS, createFeed, positionNow } from './feed.ts';
import { kvDomain } from './kv.ts';
import { leasesDomain } from './leases.ts';
import { publicationsDomain } from './publications.ts';
import { queuesDomain } from './queues.ts';
import { registryDomain } from './registry.ts';
import { rolloutsDomain } from './rollouts.ts';
import { databaseOver } from './script.ts';
import { secretsDomain } from './secrets.ts';
import { checkKey, checkServer, type KeyProof, openStore } from './start.ts';
import { tokensDomain } from './tokens.ts';

export interface RedisStoreOptions {
  target: Target;
  log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Left out, nothing is checked: of tests that have no secrets. */
  keyProof?: KeyProof;
}

/** With what comes before and after it, a call ends within two seconds. */
const PATIENCE_MS = 1_500;
const OPEN_MS = 5_000;

/**
 * Resolves once Redis has answered and the store is known to be ours. Throws StoreStartError with a sentence for the
 * operator. `isNew`: nothing was ever stored there.
 */
export async function openRedisStore(options: RedisStoreOptions): Promise<{ store: Store; isNew: boolean }> {
  const { target, log, keyProof } = options;
  const connection = createConnection({ target, name: 'hearth', patienceMs: PATIENCE_MS, log });
  let mark = '';
  const db = databaseOver(connection, () => mark);
  const domains = {
    registry: registryDomain(db),
    publications: publicationsDomain(db),
    rollouts: rolloutsDomain(db),
    bases: basesDomain(db),
    secrets: secretsDomain(db),
    kv: kvDomain(db),
    queues: queuesDomain(db),
    crons: cronsDomain(db),
    asyncs: asyncsDomain(db),
    answers: answersDomain(db),
    leases: leasesDomain(db),
    tokens: tokensDomain(db),
    audit: auditDomain(db),
  } satisfies Omit<Store, 'changes' | 'close'>;

  await connection.open(OPEN_MS).catch((error: unknown) => {
    throw unreachable(target, error);
  });
  try {
    await checkServer(connection.command, target, log);
    const opened = await openStore(connection.command, target);
    mark = opened.mark;
    if (keyProof !== undefined) await checkKey(connection.command, target, keyProof);
    const silent = { info: () => undefined, warn: () => undefined, error: log.error };
    const feed = createFeed({
      connection: createConnection({
        target,
        name: 'hearth-feed',
        patienceMs: BLOCK_MS + PATIENCE_MS,
        log: silent,
      }),
      openWithinMs: OPEN_MS,
      from: await positionNow(connection.command),
      log,
    });
    const store: Store = {
      ...domains,
      changes: feed,
      async close() {
        feed.close();
        await connection.close();
      },
    };
    return { store, isNew: opened.isNew };
  } catch (error) {
    connection.destroy();
    throw error instanceof StoreStartError ? error : unreachable(target, error);
  }
}

function unreachable({ shown }: Target, error: unknown): StoreStartError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const reason = (cause instanceof Error ? cause.message : String(cause)).replace(/\s+/g, ' ').replace(/\.$/, '');
  const refused = /^(NOAUTH|WRONGPASS|NOPERM|ERR invalid password|ERR AUTH)/.test(reason);
  return refused
    ? new StoreStartError(
        'STORE_REFUSED',
        `The Redis at ${shown} does not let Hearth in (${reason}); mend user and password in REDIS_URL.`,
        error,
      )
    : new StoreStartError(
        'STORE_AWAY',
        `The Redis at ${shown} cannot be used (${reason}); start it, or name another one with REDIS_URL.`,
        error,
      );
}
