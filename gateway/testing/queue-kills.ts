/**
 * A gateway that is killed again and again amid its messages, and everything reconciled id by id. The producer and those
 * who note what was handled are outside of it, so that they outlive it:
 *
 *   producer ──202, else it sends the same ids again──► gateway ──batch──► handler ──id and attempt──► ledger
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { scheduler } from 'node:timers/promises';
import { startGateway, type TestGateway } from './gateway.ts';

export interface KillsOptions {
  rounds: number;
  /** Of each round, in the middle of which the gateway is killed. */
  messages: number;
  /** Of what decides when that is. */
  seed: number;
  dataDir: string;
  env?: Record<string, string>;
  tell?(line: string): void;
}

export interface KillsResult {
  /** Ids that the producer was told are durable. */
  accepted: string[];
  /** Of these, those that no handler has seen. */
  lost: string[];
  /** Handled, and never sent. */
  strange: string[];
  /** Deliveries beyond the first of each id. */
  repeated: number;
  /** One claim that was delivered twice: never. */
  twice: string[];
  /** Most messages that one gateway may have had in flight. */
  inFlight: number;
}

const BATCH = 10;
const CONCURRENCY = 4;
const CLIENTS = 8;
/** What was handled and is not settled yet is held as well: triggers/queue/consumer.ts. */
const IN_FLIGHT = 2 * CONCURRENCY * BATCH;
/** Without anything new, far above the length of a lease. */
const GIVE_UP_MS = 60_000;

const CONSUMER = `export default {
  async queue(batch, env) {
    const seen = batch.messages.map(({ id, attempts }) => [id, attempts]);
    await fetch(env.LEDGER, { method: 'POST', body: JSON.stringify(seen) });
  },
};`;

export async function killAmidMessages(options: KillsOptions): Promise<KillsResult> {
  const { rounds, messages, seed, tell = () => undefined } = options;
  await using ledger = await openLedger();
  const random = randomOf(seed);
  const start = () =>
    startGateway({ dataDir: options.dataDir, ...(options.env === undefined ? {} : { env: options.env }) });
  let gateway = await start();
  try {
    const consumers = [
      { queue: 'jobs', max_batch_size: BATCH, max_batch_timeout: 0, max_concurrency: CONCURRENCY, max_retries: 100 },
    ];
    const manifest = { vars: { LEDGER: ledger.url }, queues: { consumers } };
    await gateway.deploy('worker', { 'index.js': CONSUMER }, { manifest });
    const accepted: string[] = [];
    let ended = false;
    const send = async (ids: string[]) => {
      while (!ended && !(await taken(gateway, ids))) await scheduler.wait(20);
      accepted.push(...ids);
      ledger.look();
    };
    const sending: Promise<void>[] = [];
    try {
      for (let round = 0; round < rounds; round++) {
        const ids = Array.from({ length: messages }, (_, n) => `${round}-${n}`);
        // In turn amid what is accepted, which is soon done, and amid what is handled.
        const count = () => (round % 2 === 0 ? accepted.length : ledger.seen.size);
        const target = count() + Math.floor(random() * messages * 0.9);
        sending.push(sendAll(ids, send));
        await ledger.until(() => count() >= target);
        await scheduler.wait(random() * 10);
        await gateway.kill9();
        tell(`round ${round + 1}: killed with ${ledger.seen.size} handled and ${accepted.length} accepted`);
        gateway = await start();
      }
      await Promise.all(sending);
      // The count first: with a million messages nobody looks each of them up at every delivery.
      await ledger.until(() => ledger.seen.size >= accepted.length && accepted.every((id) => ledger.seen.has(id)));
    } finally {
      ended = true;
      await Promise.allSettled(sending);
    }
    const all = new Set(accepted);
    return {
      accepted,
      lost: accepted.filter((id) => !ledger.seen.has(id)),
      strange: [...ledger.seen.keys()].filter((id) => !all.has(id)),
      repeated: [...ledger.seen.values()].reduce((sum, attempts) => sum + attempts.length - 1, 0),
      twice: [...ledger.seen].filter(([, attempts]) => new Set(attempts).size < attempts.length).map(([id]) => id),
      inFlight: IN_FLIGHT,
    };
  } finally {
    await gateway[Symbol.asyncDispose]();
  }
}

async function sendAll(ids: string[], send: (ids: string[]) => Promise<void>): Promise<void> {
  const left = [...ids];
  const client = async () => {
    for (let batch = left.splice(0, BATCH); batch.length > 0; batch = left.splice(0, BATCH)) await send(batch);
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
}

/** False: nobody knows whether it was. */
async function taken(gateway: TestGateway, ids: string[]): Promise<boolean> {
  const messages = ids.map((id) => ({ id, body: { id } }));
  return gateway.api('POST', '/v1/queues/jobs/messages', { messages }).then(
    ({ status }) => status === 202,
    () => false,
  );
}

async function openLedger() {
  /** Attempts under which each id was delivered. */
  const seen = new Map<string, number[]>();
  let look: () => void = () => undefined;
  const server = createServer(async (request, response) => {
    for (const [id, attempt] of (await json(request)) as [string, number][]) {
      seen.set(id, [...(seen.get(id) ?? []), attempt]);
    }
    response.end();
    look();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    seen,
    /** Something else than what is seen here may have been reached. */
    look: () => look(),
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** Also ends when nothing has been handled for long. */
    async until(reached: () => boolean): Promise<void> {
      for (let before = -1; !reached() && before < seen.size; ) {
        before = seen.size;
        const late = AbortSignal.timeout(GIVE_UP_MS);
        while (!reached() && !late.aborted) {
          const { promise, resolve } = Promise.withResolvers<void>();
          look = resolve;
          late.addEventListener('abort', () => resolve(), { once: true });
          await promise;
        }
      }
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** The same numbers for the same seed (mulberry32), 0 ≤ x < 1. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
