/** `kv_namespaces` in `env`: the methods, limits and messages of Workers KV. */

import type { KVNamespace } from '../../../functions/contract/handlers.ts';
import type { KvListResult } from '../../../functions/contract/invocation.ts';
import {
  MAX_KV_KEY_BYTES,
  MAX_KV_LIST,
  MAX_KV_METADATA_BYTES,
  MAX_KV_VALUE_BYTES,
  MIN_KV_TTL_S,
} from '../../../functions/contract/limits.ts';
import type { IncomingBody } from '../body.ts';
import type { BindingCalls } from './call.ts';

type ValueType = 'text' | 'json' | 'arrayBuffer' | 'stream';
type Value = string | object | ArrayBuffer | ReadableStream | null;

interface GetAnswer {
  found: boolean;
  metadata: unknown;
  expiration: number | null;
}

interface PutOptions {
  expiration?: number;
  expirationTtl?: number;
  metadata?: unknown;
}

export class KvBinding {
  readonly #calls: BindingCalls;
  /** Epoch ms. */
  readonly #now: () => number;

  constructor(calls: BindingCalls, now: () => number) {
    this.#calls = calls;
    this.#now = now;
  }

  /** An array of keys gives a Map, as Workers' bulk read does; at most 100 of them. */
  async get(key: string | string[], type?: unknown): Promise<unknown> {
    if (Array.isArray(key)) return await this.#bulk(key, (one) => this.#read(one, type).then((it) => it.value));
    return (await this.#read(key, type)).value;
  }

  async getWithMetadata(key: string | string[], type?: unknown): Promise<unknown> {
    if (Array.isArray(key)) return await this.#bulk(key, (one) => this.#read(one, type));
    return await this.#read(key, type);
  }

  async put(key: string, value: unknown, options: PutOptions = {}): Promise<void> {
    checkKey(key, 'PUT');
    const body = encode(value);
    if (body instanceof Uint8Array && body.length > MAX_KV_VALUE_BYTES) {
      throw new Error(`KV PUT failed: 413 Value length of ${body.length} exceeds limit of ${MAX_KV_VALUE_BYTES}.`);
    }
    const metadata = options.metadata ?? null;
    const metadataBytes = metadata === null ? 0 : Buffer.byteLength(JSON.stringify(metadata) ?? '');
    if (metadataBytes > MAX_KV_METADATA_BYTES) {
      throw new Error(
        `KV PUT failed: 413 Metadata length of ${metadataBytes} exceeds limit of ${MAX_KV_METADATA_BYTES}.`,
      );
    }
    await this.#calls.ask({ op: 'kv.put', key, expiration: this.#expiration(options), metadata }, body);
  }

  async list(
    options: { prefix?: string | null; limit?: number | null; cursor?: string | null } = {},
  ): Promise<KvListResult & { cacheStatus: null }> {
    const limit = options.limit ?? MAX_KV_LIST;
    if (!Number.isInteger(limit) || limit < 1) {
      throw new Error(
        `KV GET failed: 400 Invalid key_count_limit of ${String(limit)}. Please specify an integer greater than 0.`,
      );
    }
    if (limit > MAX_KV_LIST) {
      throw new Error(
        `KV GET failed: 400 Invalid key_count_limit of ${limit}. Please specify an integer less than ${MAX_KV_LIST}.`,
      );
    }
    const found = await this.#calls.ask<KvListResult>({
      op: 'kv.list',
      prefix: options.prefix ?? '',
      limit,
      cursor: options.cursor || null,
    });
    return { ...found, cacheStatus: null };
  }

  async delete(key: string): Promise<void> {
    checkKey(key, 'DELETE');
    await this.#calls.ask({ op: 'kv.delete', key });
  }

  async #read(key: string, options: unknown): Promise<{ value: Value; metadata: unknown; cacheStatus: null }> {
    checkKey(key, 'GET');
    const type = valueType(options);
    const { head, body } = await this.#calls.call<GetAnswer>({ op: 'kv.get', key }, null);
    if (!head.found) {
      body.discard();
      return { value: null, metadata: null, cacheStatus: null };
    }
    return { value: await decode(type, body), metadata: head.metadata ?? null, cacheStatus: null };
  }

  async #bulk<T>(keys: string[], read: (key: string) => Promise<T>): Promise<Map<string, T>> {
    if (keys.length > 100) {
      throw new Error(`KV GET_BULK failed: 400 You can request a maximum of 100 keys, not ${keys.length}.`);
    }
    return new Map(await Promise.all(keys.map(async (key) => [key, await read(key)] as const)));
  }

  #expiration(options: PutOptions): number | null {
    const { expiration, expirationTtl } = options;
    const nowS = Math.floor(this.#now() / 1000);
    if (expirationTtl !== undefined && expirationTtl !== null) {
      const what = 'expiration_ttl';
      requireSeconds(what, expirationTtl);
      if (expirationTtl < MIN_KV_TTL_S) {
        throw new Error(
          `KV PUT failed: 400 Invalid ${what} of ${expirationTtl}. Expiration TTL must be at least ${MIN_KV_TTL_S}.`,
        );
      }
      return nowS + expirationTtl;
    }
    if (expiration === undefined || expiration === null) return null;
    requireSeconds('expiration', expiration);
    if (expiration < nowS + MIN_KV_TTL_S) {
      throw new Error(
        `KV PUT failed: 400 Invalid expiration of ${expiration}. ` +
          `Expiration times must be at least ${MIN_KV_TTL_S} seconds in the future.`,
      );
    }
    return expiration;
  }
}

/** What authors see is the type of the contract. */
export function kvNamespace(calls: BindingCalls, now: () => number): KVNamespace {
  return new KvBinding(calls, now) as unknown as KVNamespace;
}

function requireSeconds(what: string, value: unknown): void {
  if (typeof value === 'number' && Number.isInteger(value) && value > 0) return;
  throw new Error(`KV PUT failed: 400 Invalid ${what} of ${String(value)}. Please specify integer greater than 0.`);
}

function checkKey(key: unknown, method: string): asserts key is string {
  if (typeof key !== 'string') throw new TypeError('The key of a KV entry has to be a string.');
  if (key === '') throw new TypeError('Key name cannot be empty.');
  if (key === '.') throw new TypeError('"." is not allowed as a key name.');
  if (key === '..') throw new TypeError('".." is not allowed as a key name.');
  const bytes = Buffer.byteLength(key);
  if (bytes > MAX_KV_KEY_BYTES) {
    throw new Error(
      `KV ${method} failed: 414 UTF-8 encoded length of ${bytes} exceeds key length limit of ${MAX_KV_KEY_BYTES}.`,
    );
  }
}

function valueType(options: unknown): ValueType {
  const given = typeof options === 'object' && options !== null ? (options as { type?: unknown }).type : options;
  if (given === undefined || given === null) return 'text';
  if (given === 'text' || given === 'json' || given === 'arrayBuffer' || given === 'stream') return given;
  throw new TypeError('Unknown response type. Possible types are "text", "arrayBuffer", "json", and "stream".');
}

async function decode(type: ValueType, body: IncomingBody): Promise<Value> {
  if (type === 'stream') return body.stream();
  const bytes = await body.bytes();
  if (type === 'arrayBuffer') return bytes.slice().buffer;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
  return type === 'json' ? JSON.parse(text) : text;
}

function encode(value: unknown): Uint8Array | ReadableStream<Uint8Array> {
  if (typeof value === 'string') return Buffer.from(value);
  if (value instanceof ArrayBuffer) return new Uint8Array(value.slice(0));
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice();
  if (value instanceof ReadableStream) return value as ReadableStream<Uint8Array>;
  throw new TypeError('KV put() accepts only strings, ArrayBuffers, ArrayBufferViews, and ReadableStreams as values.');
}
