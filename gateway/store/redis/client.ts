/** The Store over Redis: any number of gateways share it. Each method is one script; see script.ts. */
import { HearthError } from '../../../functions/contract/errors.ts';
import type { Logger } from '../../telemetry/log.ts';
import { StoreStartError } from '../start-error.ts';
import type { Store } from '../store.ts';
import { answersDomain } from './answers.ts';
import { asyncsDomain } from './asyncs.ts';
import { auditDomain } from './audit.ts';
import { basesDomain } from './bases.ts';
import { configsDomain } from './configs.ts';
import { createConnection, type Target } from './connection.ts';
import { countersDomain } from './counters.ts';
import { cronsDomain } from './crons.ts';
import { diskDomain } from './disk.ts';
import { isGone } from './errors.ts';
import { BLOCK_MS, changesSince, createFeed, positionNow, revisionsNow } from './feed.ts';
import { filesDomain } from './files.ts';
import { kvDomain } from './kv.ts';
import { leasesDomain } from './leases.ts';
import { locksDomain } from './locks.ts';
import { publicationsDomain } from './publications.ts';
import { queuesDomain } from './queues.ts';
import { registryDomain } from './registry.ts';
import { rolloutsDomain } from './rollouts.ts';
import { databaseOver } from './script.ts';
import { secretsDomain } from './secrets.ts';
import { checkKey, checkServer, type KeyProof, openStore, STORE_KEY } from './start.ts';
import { tokensDomain } from './tokens.ts';

export interface RedisStoreOptions {
  target: Target;
  log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Left out, nothing is checked: of tests that have no secrets. */
  keyProof?: KeyProof;
}

/** With what comes before and after it, a call ends within two seconds. */
const PATIENCE_MS = 1_500;
const OPEN_MS = 3_000;

/**
 * Resolves once Redis has answered and the store is known to be ours. Throws StoreStartError with a sentence for the
 * operator. `isNew`: nothing was ever stored there.
 */
export async function openRedisStore(options: RedisStoreOptions): Promise<{ store: Store; isNew: boolean }> {
  const { target, log, keyProof } = options;
  const connection = createConnection({ target, name: 'hearth', patienceMs: PATIENCE_MS, log });
  let mark = '';
  const db = databaseOver(connection, () => mark);
  const calls = createCalls(target, log);
  const domains = calls.through({
    registry: registryDomain(db),
    publications: publicationsDomain(db),
    rollouts: rolloutsDomain(db),
    bases: basesDomain(db),
    secrets: secretsDomain(db),
    kv: kvDomain(db),
    files: filesDomain(db),
    locks: locksDomain(db),
    counters: countersDomain(db),
    configs: configsDomain(db),
    queues: queuesDomain(db),
    crons: cronsDomain(db),
    asyncs: asyncsDomain(db),
    answers: answersDomain(db),
    leases: leasesDomain(db),
    tokens: tokensDomain(db),
    audit: auditDomain(db),
    disk: diskDomain(db),
  });

  await connection.open(STORE_KEY, OPEN_MS).catch((error: unknown) => {
    throw unreachable(target, error);
  });
  try {
    await checkServer(connection.command, target, log);
    const opened = await openStore(connection.command, target);
    mark = opened.mark;
    if (keyProof !== undefined) await checkKey(connection.command, target, keyProof);
    const silent = { info: () => undefined, warn: () => undefined, error: log.error };
    const from = await positionNow(connection.command);
    const feed = createFeed({
      connection: createConnection({
        target,
        name: 'hearth-feed',
        patienceMs: BLOCK_MS + PATIENCE_MS,
        log: silent,
      }),
      from,
      log,
    });
    const store: Store = {
      ...domains,
      changes: {
        listen: feed.listen,
        revisions: () => calls.run(() => revisionsNow(db)),
        since: (position) => calls.run(() => changesSince(db, position ?? from.changes)),
      },
      async close() {
        feed.close();
        await calls.end();
        connection.close();
      },
    };
    return { store, isNew: opened.isNew };
  } catch (error) {
    connection.close();
    throw error instanceof StoreStartError ? error : unreachable(target, error);
  }
}

type Domains = Omit<Store, 'changes' | 'close'>;
type Method = (...args: unknown[]) => Promise<unknown>;

interface Calls {
  /** The same methods. Each begun one ends, however many commands it takes, before `end` does. */
  through(domains: Domains): Domains;
  run<Result>(work: () => Promise<Result>): Promise<Result>;
  /** Refuses what comes now. Idempotent. */
  end(): Promise<void>;
}

function createCalls({ shown }: Target, log: Pick<Logger, 'error'>): Calls {
  const begun = new Set<Promise<unknown>>();
  let ended = false;
  let gone = false;

  async function run<Result>(work: () => Promise<Result>): Promise<Result> {
    if (ended) throw new HearthError('NO_CAPACITY', 'The store is closed.');
    const running = work();
    begun.add(running);
    try {
      const result = await running;
      gone = false;
      return result;
    } catch (error) {
      if (isGone(error) && !gone) {
        gone = true;
        log.error(
          `The Redis at ${shown} no longer holds the data of this gateway: it was emptied or replaced, or a newer Hearth has taken it over. Calls of functions go on; nothing is stored until the data is back, or the gateway is started again.`,
        );
      }
      throw error;
    } finally {
      begun.delete(running);
    }
  }

  return {
    run,
    through(domains) {
      const wrapped = Object.entries(domains).map(([domain, methods]: [string, object]) => [
        domain,
        Object.fromEntries(
          Object.entries(methods).map(([name, method]: [string, Method]) => [
            name,
            (...args: unknown[]) => run(() => method(...args)),
          ]),
        ),
      ]);
      return Object.fromEntries(wrapped) as Domains;
    },
    async end() {
      ended = true;
      await Promise.allSettled(begun);
    },
  };
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
