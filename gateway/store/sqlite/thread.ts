/**
 * The store thread: the one writer of hearth.db. An fsync stops this thread and nobody else. What came in while a
 * commit ran is the next batch.
 */
import { type MessagePort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { StoreStartError } from '../start-error.ts';
import { answersDomain } from './answers.ts';
import { asyncsDomain } from './asyncs.ts';
import { auditDomain } from './audit.ts';
import { basesDomain } from './bases.ts';
import { runBatch } from './batch.ts';
import { packBytes } from './bytes.ts';
import { configsDomain } from './configs.ts';
import { countersDomain } from './counters.ts';
import { cronsDomain } from './crons.ts';
import { type Database, openDatabase, prepareDirectory } from './database.ts';
import { diskDomain } from './disk.ts';
import { filesDomain } from './files.ts';
import { kvDomain } from './kv.ts';
import { leasesDomain } from './leases.ts';
import { acquireLock, type Lock } from './lock.ts';
import { locksDomain } from './locks.ts';
import { type FromThread, type Request, STORE_PROTOCOL, type SyncDomains, type ToThread } from './protocol.ts';
import { publicationsDomain } from './publications.ts';
import { endClaims, queuesDomain } from './queues.ts';
import { registryDomain } from './registry.ts';
import { rolloutsDomain } from './rollouts.ts';
import { secretsDomain } from './secrets.ts';
import { tokensDomain } from './tokens.ts';

export interface ThreadData {
  path: string;
  maxBytes: number | null;
  port: MessagePort;
}

/** Requests of one commit at most: bounds how long the first of them waits for the last. */
const MOST_PER_COMMIT = 1000;

function main({ path, maxBytes, port }: ThreadData): void {
  const send = (message: FromThread, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);

  let lock: Lock | undefined;
  let db: Database;
  try {
    prepareDirectory(path);
    lock = acquireLock(path);
    db = openDatabase({ path, maxBytes });
  } catch (error) {
    lock?.release();
    send({
      kind: 'refused',
      code: error instanceof StoreStartError ? error.code : null,
      message: error instanceof Error ? error.message : String(error),
    });
    port.close();
    return;
  }
  const held = lock;
  try {
    // The lock says that whoever had claimed them is no more.
    endClaims(db);
  } catch (error) {
    // On a full disk, say.
    const detail = error instanceof Error ? error.message : String(error);
    send({ kind: 'log', level: 'warn', message: 'What was in flight before waits for its leases to end.', detail });
  }
  const domains: SyncDomains = {
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
  };

  function commit(requests: Request[]): void {
    const answers = runBatch(db, domains, requests, (error) => {
      const cause = error.cause instanceof Error ? (error.cause.stack ?? error.cause.message) : null;
      send({ kind: 'log', level: error.code === 'INTERNAL' ? 'error' : 'warn', message: error.message, detail: cause });
    });
    const { value, transfer } = packBytes(answers, true);
    send({ kind: 'answers', answers: value }, transfer);
  }

  function close(): void {
    db.close();
    held.release();
    send({ kind: 'closed' });
    port.close();
  }

  port.on('message', (first: ToThread) => {
    let message: ToThread | undefined = first;
    while (message !== undefined) {
      const requests: Request[] = [];
      while (message?.kind === 'request') {
        requests.push(message);
        message = requests.length < MOST_PER_COMMIT ? next(port) : undefined;
      }
      if (requests.length > 0) commit(requests);
      if (message?.kind === 'close') return close();
      message = next(port);
    }
  });
  send({ kind: 'ready', protocol: STORE_PROTOCOL });
}

function next(port: MessagePort): ToThread | undefined {
  return (receiveMessageOnPort(port) as { message: ToThread } | undefined)?.message;
}

main(workerData as ThreadData);
