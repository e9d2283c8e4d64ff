/** Files with the API of R2: content passes through in parts, and is never here as a whole. */
import { createHash } from 'node:crypto';
import { HearthError } from '../../functions/contract/errors.ts';
import { MAX_FILE_KEY_BYTES, MAX_FILE_METADATA_BYTES } from '../../functions/contract/limits.ts';
import type { R2Condition, R2Digest, R2File, R2GetAnswer, R2Range } from '../../functions/contract/service-calls.ts';
import type { Exchange } from '../../pool/link/link.ts';
import type { FileHead, FileStore } from '../store/api/files.ts';
import { type BodyRoom, NO_BODY } from './body.ts';
import type { CheckedCalls } from './calls.ts';
import { listFiles } from './file-list.ts';
import { receiveParts, sendParts } from './file-parts.ts';
import type { ReadGate } from './read-gate.ts';

export interface FileParts {
  store: FileStore;
  gate: ReadGate;
  /** Bytes of one file. */
  mostBytes: number;
  newId(): string;
  /** Epoch ms. */
  now(): number;
}

type Call<Op> = Extract<CheckedCalls['r2'], { op: Op }>;

/** What a file says of itself beside its head. */
type Meta = Pick<R2File, 'http' | 'custom' | 'checksums'>;

/** How often a file may be replaced by others while a condition on it is looked at. */
const MOST_TRIES = 10;

/** Answers the call. `bucket` is a stored one. Rejects with HearthError. */
export async function fileCall(
  parts: FileParts,
  bucket: string,
  call: CheckedCalls['r2'],
  room: BodyRoom,
  exchange: Exchange,
): Promise<void> {
  const { store, now } = parts;
  if (call.op !== 'r2.put') exchange.handler = NO_BODY;
  switch (call.op) {
    case 'r2.head': {
      checkKey(call.key);
      const head = await store.head(bucket, call.key);
      exchange.sendHead({ file: head === null ? null : fileOf(head) }, null, true);
      return;
    }
    case 'r2.get':
      checkKey(call.key);
      await get(parts, bucket, call, room, exchange);
      return;
    case 'r2.put': {
      checkKey(call.key);
      checkMetadata(call);
      const file = await put(parts, bucket, call, room, exchange);
      exchange.sendHead({ file }, null, true);
      return;
    }
    case 'r2.delete':
      for (const key of call.keys) checkKey(key);
      await store.delete(bucket, call.keys, now());
      exchange.sendHead({}, null, true);
      return;
    case 'r2.list':
      exchange.sendHead(await listFiles(store, bucket, call, fileOf), null, true);
      return;
  }
}

async function get(
  { store, gate }: FileParts,
  bucket: string,
  { key, onlyIf, range }: Call<'r2.get'>,
  room: BodyRoom,
  exchange: Exchange,
): Promise<void> {
  const head = await store.head(bucket, key);
  const nothing: R2GetAnswer = { file: head === null ? null : fileOf(head), range: null };
  if (head === null || !holds(onlyIf, head)) {
    exchange.sendHead(nothing, null, true);
    return;
  }
  const piece = pieceOf(range, head.size);
  const read = (number: number) => store.readPart(head.upload, number);
  const answer: R2GetAnswer = { ...nothing, range: piece };
  await sendParts({ read, gate, trustGroup: room.trustGroup, exchange }, answer, piece);
}

async function put(
  { store, mostBytes, newId, now }: FileParts,
  bucket: string,
  { key, onlyIf, http, custom, expected }: Call<'r2.put'>,
  room: BodyRoom,
  exchange: Exchange,
): Promise<R2File | null> {
  const upload = newId();
  const hashes = new Map(
    [...new Set<R2Digest>(['md5', expected?.digest ?? 'md5'])].map((name) => [name, createHash(name)]),
  );
  let named = false;
  try {
    const size = await receiveParts(exchange, mostBytes, room, async (number, bytes) => {
      for (const hash of hashes.values()) hash.update(bytes);
      await store.writePart(upload, number, bytes, now());
    });
    const checksums: R2File['checksums'] = {};
    for (const [name, hash] of hashes) checksums[name] = hash.digest('hex');
    if (expected !== null && checksums[expected.digest] !== expected.hex) {
      throw new HearthError('BAD_REQUEST', `The ${expected.digest} of what came is ${checksums[expected.digest]}.`);
    }
    const meta: Meta = { http, custom, checksums };
    const head: FileHead = { key, upload, size, etag: checksums.md5 ?? '', uploadedAt: now(), meta };
    named = await nameUpload(store, bucket, head, onlyIf, now());
    return named ? fileOf(head) : null;
  } finally {
    if (!named) await store.drop(upload, now());
  }
}

/** False: the condition does not hold. */
async function nameUpload(
  store: FileStore,
  bucket: string,
  head: FileHead,
  onlyIf: R2Condition | null,
  nowMs: number,
): Promise<boolean> {
  if (onlyIf === null) return store.put(bucket, head, undefined, nowMs);
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const current = await store.head(bucket, head.key);
    if (!holds(onlyIf, current)) return false;
    if (await store.put(bucket, head, current?.upload ?? null, nowMs)) return true;
    // Another one was quicker: what holds of that one is looked at.
  }
  throw new HearthError('NO_CAPACITY', `${head.key} is replaced faster than a condition on it can be looked at.`);
}

/** Of a file that is not there nothing matches, and no time was. */
export function holds(condition: R2Condition | null, file: Pick<FileHead, 'etag' | 'uploadedAt'> | null): boolean {
  if (condition === null) return true;
  const { etagMatches, etagDoesNotMatch, uploadedBefore, uploadedAfter } = condition;
  const isAmong = (etags: string[]) => file !== null && etags.some((etag) => etag === '*' || etag === file.etag);
  if (etagMatches !== null && !isAmong(etagMatches)) return false;
  if (etagDoesNotMatch !== null && isAmong(etagDoesNotMatch)) return false;
  if (uploadedBefore !== null && !(file !== null && file.uploadedAt < uploadedBefore)) return false;
  return uploadedAfter === null || (file !== null && file.uploadedAt > uploadedAfter);
}

/** Throws BAD_REQUEST where it begins behind the end. */
function pieceOf(range: R2Range | null, size: number): { offset: number; length: number } {
  if (range === null) return { offset: 0, length: size };
  if ('suffix' in range) {
    const length = Math.min(range.suffix, size);
    return { offset: size - length, length };
  }
  const { offset, length } = range;
  if (offset > size || (offset === size && size > 0)) {
    throw new HearthError('BAD_REQUEST', `The file has ${size} bytes; the range begins at ${offset}.`);
  }
  return { offset, length: Math.min(length ?? size, size - offset) };
}

function fileOf({ key, upload, size, etag, uploadedAt, meta }: FileHead): R2File {
  const { http, custom, checksums } = meta as Meta;
  return { key, version: upload, size, etag, uploaded: uploadedAt, http, custom, checksums };
}

function checkKey(key: string): void {
  const bytes = Buffer.byteLength(key);
  if (bytes === 0) throw new HearthError('BAD_REQUEST', 'A key is not empty.');
  if (bytes <= MAX_FILE_KEY_BYTES) return;
  throw new HearthError('BAD_REQUEST', `The key has ${bytes} bytes; at most ${MAX_FILE_KEY_BYTES} are taken.`);
}

function checkMetadata({ http, custom }: Call<'r2.put'>): void {
  const bytes = Buffer.byteLength(JSON.stringify([http, custom]));
  if (bytes <= MAX_FILE_METADATA_BYTES) return;
  throw new HearthError('PAYLOAD_TOO_LARGE', `The metadata has ${bytes} bytes; at most ${MAX_FILE_METADATA_BYTES}.`);
}
