/**
 * One connection to Redis. Commands are sent as they come and answered in order. A call ends in bounded time, whatever
 * Redis does:
 *
 *   ready ──► closed by Redis, or an answer is overdue ──► away: every call is refused at once ──► ready again, by itself
 *
 * Nothing is queued while it is away and nothing is sent twice. Where a connection ends before its answers came, those
 * calls are NO_CAPACITY too, though Redis may have done what they asked: whoever asks again asks for the same thing.
 */
import { once } from 'node:events';
import { Redis, type RedisOptions } from 'ioredis';
import { HearthError } from '../../../functions/contract/errors.ts';
import type { Logger } from '../../telemetry/log.ts';
import { isAway, isReadOnly, movedTo, type Node, storeError } from './errors.ts';

export type Arg = string | number | Uint8Array;
/** Text comes as bytes too: what it is only the caller knows. */
export type Reply = Buffer | number | null | Reply[];

export interface ConnectionOptions {
  target: Target;
  /** Shown by CLIENT LIST. */
  name: string;
  /** An answer that is overdue by this ends the connection. */
  patienceMs: number;
  log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

/** Where Redis is. */
export interface Target {
  options: Pick<RedisOptions, 'host' | 'port' | 'path' | 'username' | 'password' | 'db' | 'tls'>;
  /** For people: without user and password. */
  shown: string;
}

export interface Connection {
  /**
   * Resolves once it is ready, of a cluster with the node that has this key; rejects with what Redis or the network said,
   * and is closed then. Once.
   */
  open(key: string, withinMs: number): Promise<void>;
  /** Opens it in the background, and goes on trying. Once. */
  begin(): void;
  command(name: string, ...args: Arg[]): Promise<Reply>;
  /** To be called once, before `open`. The script's first and only key is the given one. */
  script(name: string, lua: string): (key: string, ...args: Arg[]) => Promise<Reply>;
  /** Ends it at once; what waits for answers is refused. Idempotent. */
  close(): void;
}

/** What may wait for answers before new calls are refused: a Redis that stalls must not fill memory. */
const MOST_PENDING = 20_000;
const MOST_PENDING_BYTES = 256 * 1024 * 1024;
const LOOK_MS = 100;
const CONNECT_MS = 2_000;
const MOST_RETRY_MS = 500;

type Send = (...args: (string | number | Buffer)[]) => Promise<Reply>;

export function createConnection({ target, name, patienceMs, log }: ConnectionOptions): Connection {
  const redis = new Redis({
    ...target.options,
    connectionName: name,
    disableClientInfo: true,
    // The shapes of replies are those of RESP2 wherever they come from.
    protocol: 2,
    lazyConnect: true,
    connectTimeout: CONNECT_MS,
    // To a Redis that is stopped no goodbye gets through.
    disconnectTimeout: 20,
    enableOfflineQueue: false,
    // One that loads its data says so to each call: that is a better answer than none.
    enableReadyCheck: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (times) => Math.min(50 * times, MOST_RETRY_MS),
  });
  let state: 'opening' | 'open' | 'closed' = 'opening';
  let away = false;
  let lastError: Error | undefined;
  /** Where it goes next; null: where it was told to go first. */
  let elsewhere: Node | null = null;
  /** Oldest first: answers come in the order of the calls. */
  const pending = new Set<{ since: number }>();
  let pendingBytes = 0;

  // Time as this loop lived it: while the process itself stood still, Redis was not late.
  let clockMs = 0;
  let lookedAt = performance.now();
  /** When it began to greet Redis, if it does. */
  let greetedAt = 0;
  const look = setInterval(() => {
    const at = performance.now();
    clockMs += Math.min(at - lookedAt, 2 * LOOK_MS);
    lookedAt = at;
    const [oldest] = pending;
    const overdue = oldest !== undefined && clockMs - oldest.since > patienceMs;
    if (redis.status !== 'connect') greetedAt = clockMs;
    const stuck = clockMs - greetedAt > patienceMs;
    if (!overdue && !stuck) return;
    lastError = new Error(`no answer within ${patienceMs} ms`);
    redis.disconnect(true);
  }, LOOK_MS).unref();

  redis.on('error', (error: Error) => {
    lastError = error;
  });
  redis.on('close', () => {
    // A node of a cluster may be gone for good: the name it was given leads to those that there are now.
    const { host, port } = elsewhere ?? target.options;
    elsewhere = null;
    if (host !== undefined && port !== undefined) Object.assign(redis.options, { host, port });
    if (state !== 'open' || away) return;
    away = true;
    log.warn(`Redis at ${target.shown} is away; what needs it is refused until it is back.`, { error: lastError });
  });
  redis.on('ready', () => {
    lastError = undefined;
    if (!away) return;
    away = false;
    log.info(`Redis at ${target.shown} is back.`);
  });

  function refusal(): HearthError | null {
    if (state === 'closed') return new HearthError('NO_CAPACITY', 'The store is closed.');
    if (redis.status !== 'ready') return isAway(lastError);
    if (pending.size < MOST_PENDING && pendingBytes < MOST_PENDING_BYTES) return null;
    return new HearthError('NO_CAPACITY', 'The store has fallen behind what is asked of it.', { retryAfterS: 1 });
  }

  async function call(send: Send, args: Arg[]): Promise<Reply> {
    const refused = refusal();
    if (refused !== null) throw refused;
    let bytes = 0;
    const given = args.map((arg) => {
      if (!(arg instanceof Uint8Array)) return arg;
      bytes += arg.byteLength;
      return Buffer.isBuffer(arg) ? arg : Buffer.from(arg.buffer, arg.byteOffset, arg.byteLength);
    });
    const waiting = { since: clockMs };
    pending.add(waiting);
    pendingBytes += bytes;
    try {
      return await send(...given);
    } catch (error) {
      follow(error);
      throw storeError(error, lastError);
    } finally {
      pending.delete(waiting);
      pendingBytes -= bytes;
    }
  }

  /** Whether it goes elsewhere now: to the node that has the key, or to find who takes writes. */
  function follow(error: unknown): boolean {
    const node = movedTo(error);
    if (node === null && !isReadOnly(error)) return false;
    lastError = error as Error;
    elsewhere = node;
    redis.disconnect(true);
    return true;
  }

  async function openAt(key: string): Promise<void> {
    await redis.connect();
    for (;;) {
      try {
        await redis.exists(key);
        return;
      } catch (error) {
        if (!follow(error)) throw error;
        await once(redis, 'ready');
      }
    }
  }

  function close(): void {
    state = 'closed';
    clearInterval(look);
    redis.disconnect();
  }

  return {
    async open(key, withinMs) {
      const late = Promise.withResolvers<never>();
      const timer = setTimeout(
        () => late.reject(new Error(`it does not answer within ${withinMs / 1000} s`)),
        withinMs,
      );
      try {
        await Promise.race([openAt(key), late.promise]);
        state = 'open';
      } catch (error) {
        const why = lastError ?? error;
        close();
        throw why;
      } finally {
        clearTimeout(timer);
      }
    },
    begin() {
      state = 'open';
      redis.connect().catch((error: Error) => {
        lastError = error;
      });
    },
    command: (command, ...args) => call((...given) => redis.callBuffer(command, ...given) as Promise<Reply>, args),
    script(script, lua) {
      redis.defineCommand(script, { numberOfKeys: 1, lua });
      const send = (redis as unknown as Record<string, Send>)[`${script}Buffer`];
      if (send === undefined) throw new Error(`the script ${script} was not defined`);
      return (key, ...args) => call(send.bind(redis), [key, ...args]);
    },
    close,
  };
}
