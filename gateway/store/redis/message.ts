/**
 * A message as bytes, written once and never changed: its place and its attempts are kept elsewhere.
 *
 *   3 digits: bytes of the id · id · head as JSON · line end · body
 *
 * The id stands first, so that a script can read it without knowing JSON. JSON has no line end in it.
 */
import type { ClaimedMessage, ContentType, NewMessage } from '../api/queues.ts';

type Head = [contentType: ContentType, delayS: number, hops: number, timestamp: number, traceparent: string | null];

const LINE_END = 10;

/** `id_of(packed)` in Lua. */
export const ID_OF = `
local function id_of(packed) return string.sub(packed, 4, 3 + tonumber(string.sub(packed, 1, 3))) end
`;

export function packMessage(message: NewMessage, nowMs: number): Buffer {
  const head: Head = [message.contentType, message.delayS, message.hops, nowMs, message.traceparent];
  const idBytes = String(Buffer.byteLength(message.id)).padStart(3, '0');
  return Buffer.concat([Buffer.from(`${idBytes}${message.id}${JSON.stringify(head)}\n`), message.body]);
}

export function unpackMessage(packed: Buffer): Omit<ClaimedMessage, 'queue' | 'attempts' | 'kills' | 'fence'> {
  const headAt = 3 + Number(packed.toString('latin1', 0, 3));
  const bodyAt = packed.indexOf(LINE_END, headAt) + 1;
  const [contentType, delayS, hops, timestamp, traceparent] = JSON.parse(
    packed.toString('utf8', headAt, bodyAt),
  ) as Head;
  return {
    id: packed.toString('utf8', 3, headAt),
    // Its own memory: a reply is a view into all that Redis sent at once.
    body: new Uint8Array(packed.subarray(bodyAt)),
    contentType,
    delayS,
    traceparent,
    hops,
    timestamp,
  };
}
