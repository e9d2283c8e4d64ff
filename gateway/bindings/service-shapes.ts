/** The shape of what a base may ask of the bindings for files, locks and counters. */
import { z } from 'zod';
import {
  MAX_FILE_DELETES,
  MAX_FILE_LIST,
  MAX_LOCK_TTL_MS,
  MAX_LOCK_WAIT_MS,
  MAX_SERVICE_NAME_BYTES,
  MIN_LOCK_TTL_MS,
} from '../../functions/contract/limits.ts';

/** Far above what any of them may have: what they may have in bytes is looked at where they are used. */
const key = z.string().max(4096);
const millis = z.number().min(-8.64e15).max(8.64e15);
const size = z.int().nonnegative();
const field = z.string().max(1024);

const name = z
  .string()
  .min(1)
  .refine((text) => Buffer.byteLength(text) <= MAX_SERVICE_NAME_BYTES, `At most ${MAX_SERVICE_NAME_BYTES} bytes.`);

const etags = z.array(z.string().max(256)).max(100).nullable();
const condition = z
  .object({
    etagMatches: etags,
    etagDoesNotMatch: etags,
    uploadedBefore: millis.nullable(),
    uploadedAfter: millis.nullable(),
  })
  .nullable();

const DIGEST_CHARS = { md5: 32, sha1: 40, sha256: 64, sha384: 96, sha512: 128 } as const;

export const fileCallShape = z.discriminatedUnion('op', [
  z.object({ op: z.literal('r2.head'), key }),
  z.object({
    op: z.literal('r2.get'),
    key,
    onlyIf: condition,
    range: z.union([z.object({ suffix: size }), z.object({ offset: size, length: size.nullable() })]).nullable(),
  }),
  z.object({
    op: z.literal('r2.put'),
    key,
    onlyIf: condition,
    http: z.object({
      contentType: field.exactOptional(),
      contentLanguage: field.exactOptional(),
      contentDisposition: field.exactOptional(),
      contentEncoding: field.exactOptional(),
      cacheControl: field.exactOptional(),
      cacheExpiry: millis.exactOptional(),
    }),
    custom: z.record(z.string(), z.string()),
    expected: z
      .object({ digest: z.enum(['md5', 'sha1', 'sha256', 'sha384', 'sha512']), hex: z.string().regex(/^[0-9a-f]+$/) })
      .refine(({ digest, hex }) => hex.length === DIGEST_CHARS[digest], 'A digest of another length.')
      .nullable(),
  }),
  z.object({ op: z.literal('r2.delete'), keys: z.array(key).max(MAX_FILE_DELETES) }),
  z.object({
    op: z.literal('r2.list'),
    prefix: key,
    delimiter: key.nullable(),
    startAfter: key.nullable(),
    cursor: z.string().max(4096).nullable(),
    limit: z.int().min(1).max(MAX_FILE_LIST),
  }),
]);

const ttlMs = z.int().min(MIN_LOCK_TTL_MS).max(MAX_LOCK_TTL_MS);

export const lockCallShape = z.discriminatedUnion('op', [
  z.object({ op: z.literal('lock.acquire'), lock: name, ttlMs, waitMs: z.int().min(0).max(MAX_LOCK_WAIT_MS) }),
  z.object({ op: z.literal('lock.renew'), lock: name, fencing: z.int(), ttlMs }),
  z.object({ op: z.literal('lock.release'), lock: name, fencing: z.int() }),
]);

export const counterCallShape = z.discriminatedUnion('op', [
  z.object({ op: z.literal('counter.add'), counter: name, by: z.int() }),
  z.object({ op: z.literal('counter.get'), counter: name }),
  z.object({ op: z.literal('counter.next'), counter: name }),
  z.object({ op: z.literal('counter.delete'), counter: name }),
]);

export const configCallShape = z.object({ op: z.literal('config.watch'), version: z.int().nonnegative().nullable() });

export const rateCallShape = z.object({ op: z.literal('ratelimit.limit'), key: z.string().max(4096) });
