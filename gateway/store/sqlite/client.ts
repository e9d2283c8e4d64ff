/** The Store over SQLite, on the gateway's side: each call becomes a message to the store thread (thread.ts). */
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { HearthError, toHearthError } from '../../../functions/contract/errors.ts';
import type { Logger } from '../../telemetry/log.ts';
import { StoreStartError } from '../start-error.ts';
import type { Store } from '../store.ts';
import { packBytes } from './bytes.ts';
import {
  type Answer,
  type DomainName,
  type Domains,
  type FromThread,
  METHODS,
  type Operation,
  STORE_PROTOCOL,
  type ToThread,
} from './protocol.ts';
import type { ThreadData } from './thread.ts';

export interface SqliteStoreOptions {
  /** The database file. Its directory is made when missing; lock and pid file stand beside it. */
  path: string;
  log: Pick<Logger, 'warn' | 'error'>;
  /** Most bytes the file may hold, at least 1 MB; default: what the disk holds. */
  maxBytes?: number;
  /** Bytes that may wait for the thread before new calls are refused: a disk that stalls must not fill memory. Default 256 MB. */
  mostPendingBytes?: number;
}

/** Calls that may wait for the thread, likewise. */
const MOST_PENDING = 20_000;

interface Pending {
  resolve(value: unknown): void;
  reject(error: HearthError): void;
  bytes: number;
}

/** Resolves once the file is open, locked and migrated. Throws StoreStartError with a sentence for the operator. */
export function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  return openOver(new URL('./thread.ts', import.meta.url), options);
}

/** The same over another thread than ours: what tests of a thread that fails are made of. */
export async function openOver(thread: URL, options: SqliteStoreOptions): Promise<Store> {
  const { path, log, maxBytes = null, mostPendingBytes = 256 * 1024 * 1024 } = options;
  const { port1: port, port2 } = new MessageChannel();
  const threadData: ThreadData = { path, maxBytes, port: port2 };
  const worker = new Worker(thread, {
    name: 'hearth-store',
    workerData: threadData,
    transferList: [port2],
    execArgv: [],
    env: {},
  });
  const pending = new Map<number, Pending>();
  let pendingBytes = 0;
  let lastId = 0;
  let state: 'open' | 'closing' | 'gone' = 'open';
  const post = (message: ToThread, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);

  function settle(answer: Answer): void {
    const waiting = pending.get(answer.id);
    if (waiting === undefined) return;
    pending.delete(answer.id);
    pendingBytes -= waiting.bytes;
    if (answer.ok) waiting.resolve(answer.value);
    else waiting.reject(new HearthError(answer.code, answer.message));
  }

  function lost(why: string, cause?: unknown): void {
    state = 'gone';
    for (const [id, waiting] of pending) {
      pending.delete(id);
      waiting.reject(new HearthError('NO_CAPACITY', why, { cause }));
    }
    pendingBytes = 0;
  }

  function call(operation: Operation): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (state !== 'open') throw new HearthError('NO_CAPACITY', 'The store is closed.');
      if (pending.size >= MOST_PENDING || pendingBytes >= mostPendingBytes) {
        throw new HearthError(
          'NO_CAPACITY',
          'The store has fallen behind: its disk is too slow for what is asked of it.',
          {
            retryAfterS: 1,
          },
        );
      }
      const id = ++lastId;
      const { value, transfer, bytes } = packBytes(operation, false);
      try {
        post({ kind: 'request', id, operation: value }, transfer);
      } catch (error) {
        throw toHearthError(error);
      }
      pending.set(id, { resolve, reject, bytes });
      pendingBytes += bytes;
    });
  }

  const opened = Promise.withResolvers<void>();

  function receive(message: FromThread): void {
    switch (message.kind) {
      case 'ready':
        if (message.protocol === STORE_PROTOCOL) opened.resolve();
        else opened.reject(new Error('The store thread is of another version of Hearth.'));
        break;
      case 'refused':
        state = 'closing';
        opened.reject(
          message.code === null ? new Error(message.message) : new StoreStartError(message.code, message.message),
        );
        break;
      case 'answers':
        for (const answer of message.answers) settle(answer);
        break;
      case 'log':
        log[message.level](message.message, message.detail === null ? {} : { detail: message.detail });
        break;
      case 'closed':
        state = 'closing';
        break;
      default:
        message satisfies never;
    }
  }

  let failure: unknown;
  worker.on('error', (error) => {
    failure = error;
  });
  port.on('message', receive);
  const exited = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      // The exit may be seen before the last answers: they were committed, so they are handed on first.
      for (let left = receiveMessageOnPort(port); left !== undefined; left = receiveMessageOnPort(port)) {
        receive(left.message);
      }
      port.close();
      if (state === 'open') {
        log.error('the store thread ended; nothing can be stored until the gateway is started again', {
          error: failure,
        });
        lost('The store has failed; the gateway has to be started again.', failure);
      } else {
        lost('The store is closed.');
      }
      opened.reject(failure ?? new Error('The store thread ended before it was open.'));
      resolve();
    });
  });

  try {
    await opened.promise;
  } catch (error) {
    state = 'closing';
    await worker.terminate();
    throw error;
  }

  let closing: Promise<void> | undefined;
  return {
    ...domainsOver(call),
    changes: {
      listen: () => () => undefined,
      revisions: () => Promise.resolve(new Map()),
      since: () => Promise.resolve({ changes: [], position: 0 }),
    },
    close() {
      closing ??= (async () => {
        if (state === 'open') {
          state = 'closing';
          // Messages arrive in order: what was asked before is committed and answered first.
          post({ kind: 'close' });
        }
        await exited;
      })();
      return closing;
    },
  };
}

/** The methods of every domain, each handing its arguments over as data. */
function domainsOver(call: (operation: Operation) => Promise<unknown>): Domains {
  const domains = Object.entries(METHODS).map(([domain, methods]) => [
    domain,
    Object.fromEntries(
      Object.keys(methods).map((method) => [
        method,
        (...args: unknown[]) => call({ domain: domain as DomainName, method, args } as Operation),
      ]),
    ),
  ]);
  return Object.fromEntries(domains) as Domains;
}
