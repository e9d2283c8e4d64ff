/** Replies of scripts as what their writer knows them to be. */
import type { Reply } from './connection.ts';

export function asText(reply: Reply | undefined): string {
  if (!Buffer.isBuffer(reply)) throw unexpected('text', reply);
  return reply.toString();
}

export function asNumber(reply: Reply | undefined): number {
  if (typeof reply === 'number') return reply;
  if (!Buffer.isBuffer(reply)) throw unexpected('a number', reply);
  return Number(reply.toString());
}

export function asBytes(reply: Reply | undefined): Buffer {
  if (!Buffer.isBuffer(reply)) throw unexpected('bytes', reply);
  return reply;
}

export function asList(reply: Reply | undefined): Reply[] {
  if (!Array.isArray(reply)) throw unexpected('a list', reply);
  return reply;
}

export function asTexts(reply: Reply | undefined): string[] {
  return asList(reply).map(asText);
}

export function asJson<T>(reply: Reply | undefined): T {
  return JSON.parse(asText(reply)) as T;
}

/** Bytes that stand alone: a reply may be a view into what Redis sent at once, and would keep all of it. */
export function ownBytes(bytes: Buffer): Uint8Array {
  return new Uint8Array(bytes);
}

/** In tuples of so many. */
export function inTuples(replies: Reply[], size: number): Reply[][] {
  const tuples: Reply[][] = [];
  for (let at = 0; at < replies.length; at += size) tuples.push(replies.slice(at, at + size));
  return tuples;
}

function unexpected(wanted: string, reply: Reply | undefined): Error {
  return new TypeError(`a script answered ${reply === null ? 'nil' : typeof reply} where it answers ${wanted}`);
}
