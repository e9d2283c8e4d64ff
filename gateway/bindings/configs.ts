/**
 * Configuration that running functions are told of. A base asks for what is newer than the version it has, and is answered
 * when there is something: what is lost on the way is asked for again, so no one stays behind.
 */
import type { ConfigAnswer } from '../../functions/contract/service-calls.ts';
import type { Exchange } from '../../pool/link/link.ts';
import type { ConfigRecord, ConfigStore } from '../store/api/configs.ts';
import { NO_BODY } from './body.ts';
import type { CheckedCalls } from './calls.ts';

/** Kept in memory, of those that nobody waits for. */
const MOST_KEPT = 1_000;

export interface Configs {
  /** As the store has it: version 0 where nothing was ever put. */
  read(namespace: string): Promise<ConfigRecord>;
  /** Stored, and on its way to whoever waits for it here. Throws CONFLICT, see ConfigStore. */
  put(namespace: string, values: Record<string, unknown>, expected: number | null): Promise<ConfigRecord>;
  /** Answers a base, now or when there is something newer. `namespace` is a stored one. */
  call(namespace: string, call: CheckedCalls['config'], exchange: Exchange): Promise<void>;
  /** Another gateway has put these; null: any may be newer. Throws NO_CAPACITY while the store is away. */
  refresh(namespaces: readonly string[] | null): Promise<void>;
}

interface Kept {
  record: ConfigRecord;
  body: Uint8Array;
}

export function createConfigs(store: ConfigStore, now: () => number): Configs {
  /** The one that was asked for longest ago first. */
  const kept = new Map<string, Kept>();
  const waiting = new Map<string, Set<() => void>>();

  /** What was read earlier may come later. */
  function keep(namespace: string, record: ConfigRecord): Kept {
    const before = kept.get(namespace);
    const newest =
      before !== undefined && before.record.version >= record.version
        ? before
        : { record, body: Buffer.from(JSON.stringify(record.values)) };
    kept.delete(namespace);
    kept.set(namespace, newest);
    if (newest !== before) for (const answer of [...(waiting.get(namespace) ?? [])]) answer();
    for (const name of kept.keys()) {
      if (kept.size <= MOST_KEPT) break;
      if (!waiting.has(name)) kept.delete(name);
    }
    return newest;
  }

  async function load(namespace: string): Promise<Kept> {
    const record = await store.get(namespace);
    return keep(namespace, record ?? { version: 0, values: {}, updatedAt: 0 });
  }

  function wait(namespace: string, exchange: Exchange, answer: () => void): void {
    const waiters = waiting.get(namespace) ?? new Set();
    waiting.set(namespace, waiters);
    const over = () => {
      waiters.delete(once);
      if (waiters.size === 0 && waiting.get(namespace) === waiters) waiting.delete(namespace);
    };
    const once = () => {
      over();
      answer();
    };
    waiters.add(once);
    exchange.handler = { ...NO_BODY, closed: over };
  }

  return {
    read: async (namespace) => (await load(namespace)).record,
    async put(namespace, values, expected) {
      const record = await store.put(namespace, values, expected, now());
      keep(namespace, record);
      return record;
    },
    async call(namespace, { version }, exchange) {
      exchange.handler = NO_BODY;
      const answer = () => {
        const found = kept.get(namespace);
        if (found === undefined) return;
        const head: ConfigAnswer = { version: found.record.version, updatedAt: found.record.updatedAt };
        exchange.sendHead(head, found.body, true);
      };
      const { record } = kept.get(namespace) ?? (await load(namespace));
      if (version === null || version !== record.version) answer();
      else wait(namespace, exchange, answer);
    },
    async refresh(namespaces) {
      const known = new Set([...kept.keys(), ...waiting.keys()]);
      for (const namespace of namespaces ?? known) if (known.has(namespace)) await load(namespace);
    },
  };
}
