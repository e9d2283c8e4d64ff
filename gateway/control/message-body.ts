/** Queue messages as the API has them, and as bytes. */
import { z } from '@hono/zod-openapi';
import { HearthError } from '../../functions/contract/errors.ts';
import { MAX_MESSAGE_BYTES } from '../../functions/contract/limits.ts';
import { isTooDeep } from '../../pool/link/json-depth.ts';
import type { ContentType } from '../store/api/queues.ts';

/** `v8` bodies are made by functions only: nothing else writes that format. */
export const contentTypeSchema = z
  .enum(['json', 'text', 'bytes'])
  .default('json')
  .openapi({ description: 'json: any JSON value; text: a string; bytes: base64' });

/** Throws BAD_REQUEST when body and content type do not fit, or the message is over 128 KB. `path` names it in the error. */
export function encodeBody(body: unknown, contentType: 'json' | 'text' | 'bytes', path: string): Uint8Array {
  const bytes = toBytes(body, contentType, path);
  if (bytes.byteLength <= MAX_MESSAGE_BYTES) return bytes;
  throw new HearthError(
    'PAYLOAD_TOO_LARGE',
    `${path} has ${bytes.byteLength} bytes; a message may have ${MAX_MESSAGE_BYTES} (128 KB). Keep large data elsewhere and send its key.`,
  );
}

function toBytes(body: unknown, contentType: 'json' | 'text' | 'bytes', path: string): Uint8Array {
  if (contentType === 'json') {
    if (body === undefined) throw new HearthError('BAD_REQUEST', `${path}: missing.`);
    return Buffer.from(JSON.stringify(body));
  }
  if (typeof body !== 'string') {
    throw new HearthError('BAD_REQUEST', `${path}: expected a string, as contentType is "${contentType}".`);
  }
  if (contentType === 'text') return Buffer.from(body);
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(body)) throw new HearthError('BAD_REQUEST', `${path}: expected base64.`);
  return Buffer.from(body, 'base64');
}

/** Back again; `v8` as base64, since only functions can read it. What a base says is JSON and is none comes as its text. */
export function decodeBody(bytes: Uint8Array, contentType: ContentType): unknown {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (contentType) {
    case 'json':
      return jsonOf(buffer.toString('utf8'));
    case 'text':
      return buffer.toString('utf8');
    case 'bytes':
    case 'v8':
      return buffer.toString('base64');
  }
}

function jsonOf(text: string): unknown {
  if (isTooDeep(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
