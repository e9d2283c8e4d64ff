/** KV namespaces, with the limits of Workers KV. */
import { HearthError } from '../../functions/contract/errors.ts';
import type { KvListResult } from '../../functions/contract/invocation.ts';
import { MAX_KV_KEY_BYTES, MAX_KV_METADATA_BYTES, MAX_KV_VALUE_BYTES } from '../../functions/contract/limits.ts';
import type { Exchange } from '../../pool/link/link.ts';
import type { KvEntry, KvStore } from '../store/api/kv.ts';
import { type BodyRoom, NO_BODY, withBody } from './body.ts';
import type { CheckedCalls } from './calls.ts';
import type { ReadGate } from './read-gate.ts';

/** A head of the link is 512 KB at most. */
const MAX_LIST_BYTES = 400 * 1024;

export interface KvParts {
  store: KvStore;
  gate: ReadGate;
  /** Epoch ms. */
  now(): number;
}

/**
 * Where the store keeps a namespace. An id in a manifest is a claim that anybody can write, so it means something within
 * one trust group only: the same id in two groups is two namespaces. Group names hold no slash.
 */
export function storedNamespace(trustGroup: string, id: string): string {
  return `${trustGroup}/${id}`;
}

/** Answers the call. `namespace` is a stored one. Rejects with HearthError. */
export async function kvCall(
  { store, gate, now }: KvParts,
  namespace: string,
  call: CheckedCalls['kv'],
  room: BodyRoom,
  exchange: Exchange,
): Promise<void> {
  if (call.op !== 'kv.put') exchange.handler = NO_BODY;
  switch (call.op) {
    case 'kv.get': {
      checkKey(call.key);
      await sendValue(gate, room.trustGroup, exchange, () => store.get(namespace, call.key, now()));
      return;
    }
    case 'kv.put': {
      const { key, expiration } = call;
      checkKey(key);
      checkExpiration(expiration, now());
      const metadata = checkMetadata(call.metadata);
      await withBody(exchange, MAX_KV_VALUE_BYTES, room, (value) => {
        return store.put(namespace, key, { value, metadata, expiration });
      });
      exchange.sendHead({}, null, true);
      return;
    }
    case 'kv.delete':
      checkKey(call.key);
      await store.delete(namespace, call.key);
      exchange.sendHead({}, null, true);
      return;
    case 'kv.list':
      exchange.sendHead(await list(store, namespace, call, now()), null, true);
      return;
  }
}

/** Holds its room from before the value is read until its reader has taken it, or has gone. */
async function sendValue(
  gate: ReadGate,
  trustGroup: string,
  exchange: Exchange,
  get: () => Promise<KvEntry | null>,
): Promise<void> {
  let closed = false;
  let heldBytes = 0;
  exchange.handler = {
    ...NO_BODY,
    closed: () => {
      closed = true;
      gate.released(trustGroup, heldBytes);
    },
  };
  await gate.enter(trustGroup);
  let entry: KvEntry | null = null;
  try {
    if (gate.full(trustGroup))
      throw new HearthError('NO_CAPACITY', 'Too many values wait to be read; read some first.');
    if (!closed) entry = await get();
  } finally {
    if (!closed) heldBytes = entry?.value.byteLength ?? 0;
    gate.read(trustGroup, heldBytes);
  }
  const { metadata = null, expiration = null } = entry ?? {};
  exchange.sendHead({ found: entry !== null, metadata, expiration }, entry?.value ?? null, true);
}

/** As many of the keys asked for as an answering head takes; `cursor` goes on from there. */
async function list(
  store: KvStore,
  namespace: string,
  { prefix, limit, cursor }: Extract<CheckedCalls['kv'], { op: 'kv.list' }>,
  nowMs: number,
): Promise<KvListResult> {
  if (Buffer.byteLength(prefix) > MAX_KV_KEY_BYTES) {
    throw new HearthError('BAD_REQUEST', `A prefix has at most ${MAX_KV_KEY_BYTES} bytes.`);
  }
  for (let most = limit; ; most = Math.ceil(most / 2)) {
    const page = await store.list(namespace, { prefix, limit: most, cursor, nowMs });
    const result: KvListResult = {
      keys: page.keys.map(({ name, expiration, metadata }) => ({
        name,
        ...(expiration === null ? {} : { expiration }),
        ...(metadata === null || metadata === undefined ? {} : { metadata }),
      })),
      list_complete: page.cursor === null,
      ...(page.cursor === null ? {} : { cursor: page.cursor }),
    };
    if (most === 1 || Buffer.byteLength(JSON.stringify(result)) <= MAX_LIST_BYTES) return result;
  }
}

function checkKey(key: string): void {
  const bytes = Buffer.byteLength(key);
  if (bytes === 0) throw new HearthError('BAD_REQUEST', 'A key is not empty.');
  if (key === '.' || key === '..') throw new HearthError('BAD_REQUEST', `A key is not "${key}".`);
  if (bytes <= MAX_KV_KEY_BYTES) return;
  throw new HearthError('BAD_REQUEST', `The key has ${bytes} bytes; at most ${MAX_KV_KEY_BYTES} are taken.`);
}

/** The base holds callers to Workers' sixty seconds; the call may have been under way for some of them. */
function checkExpiration(expirationS: number | null, nowMs: number): void {
  if (expirationS === null || expirationS * 1000 > nowMs) return;
  throw new HearthError('BAD_REQUEST', 'The expiration is in the past; it is given in seconds since 1970.');
}

/** null: none. */
function checkMetadata(metadata: unknown): unknown {
  if (metadata === undefined || metadata === null) return null;
  const bytes = Buffer.byteLength(JSON.stringify(metadata));
  if (bytes <= MAX_KV_METADATA_BYTES) return metadata;
  throw new HearthError('PAYLOAD_TOO_LARGE', `The metadata has ${bytes} bytes; at most ${MAX_KV_METADATA_BYTES}.`);
}
