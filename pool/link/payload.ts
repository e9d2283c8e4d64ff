/** What frames carry. What comes from the other side is told as it is, or is a ProtocolViolation. */

import { ProtocolViolation } from './frames.ts';
import { isTooDeep } from './json-depth.ts';
import type { LinkError } from './link.ts';

/** Of OPEN and HEAD: the head, and the first bytes of the body. */
export function splitHead(payload: Buffer): { head: unknown; body: Buffer } {
  if (payload.length < 4) throw new ProtocolViolation('head cut short');
  const end = 4 + payload.readUInt32BE(0);
  if (end > payload.length) throw new ProtocolViolation('head cut short');
  return { head: parseJson(payload.subarray(4, end)), body: payload.subarray(end) };
}

export function parseJson(bytes: Buffer): unknown {
  const text = bytes.toString('utf8');
  if (isTooDeep(text)) throw new ProtocolViolation('JSON too deep');
  try {
    return JSON.parse(text);
  } catch {
    throw new ProtocolViolation('not JSON');
  }
}

export function u32(payload: Buffer): number {
  if (payload.length !== 4) throw new ProtocolViolation('number cut short');
  return payload.readUInt32BE(0);
}

/** Of CANCEL, as whoever heard it may pass it on. */
export function linkError(value: unknown): LinkError {
  const { code, message, stack } = (typeof value === 'object' && value !== null ? value : {}) as Record<
    string,
    unknown
  >;
  return {
    code: typeof code === 'string' ? code : 'UNKNOWN',
    message: typeof message === 'string' ? message : '',
    ...(typeof stack === 'string' ? { stack } : {}),
  };
}

/** Messages and stacks come from function code: bounded, so that they fit a head. */
export function cancelPayload({ code, message, stack }: LinkError): string {
  return JSON.stringify({ code, message: cut(message), stack: cut(stack) });
}

function cut(text: string | undefined): string | undefined {
  return text === undefined || text.length <= 32_768 ? text : `${text.slice(0, 32_768)}…`;
}
