/** W3C Trace Context, level 1: the `traceparent` header, and ids. https://www.w3.org/TR/trace-context/ */
import { randomFillSync } from 'node:crypto';

export interface RemoteParent {
  /** 32 hex digits, lower case, not all zero. */
  traceId: string;
  /** 16 hex digits, lower case, not all zero. */
  spanId: string;
  sampled: boolean;
}

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:$|-)/;

/** null when it is not valid: the trace then starts anew. A later version is read as far as version 00 goes. */
export function parseTraceparent(header: string): RemoteParent | null {
  if (!TRACEPARENT.test(header)) return null;
  if (header.length > 55 && header.startsWith('00')) return null;
  return {
    traceId: header.slice(3, 35),
    spanId: header.slice(36, 52),
    sampled: (Number.parseInt(header.slice(53, 55), 16) & 1) === 1,
  };
}

export function formatTraceparent(traceId: string, spanId: string, sampled: boolean): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}

export interface IdSource {
  /** 32 hex digits. */
  traceId(): string;
  /** 16 hex digits. */
  spanId(): string;
}

/**
 * Random ids cut from a block: one call of `fill` per 8 KiB instead of one per id, which is what makes an id cheap.
 * All-zero ids, which the standard forbids, are as likely as a collision and not looked for.
 */
export function createIdSource(fill: (block: Buffer) => void = randomFillSync): IdSource {
  const block = Buffer.alloc(8192);
  let digits = '';
  let next = 0;

  function take(length: number): string {
    if (next + length > digits.length) {
      fill(block);
      digits = block.toString('hex');
      next = 0;
    }
    const id = digits.slice(next, next + length);
    next += length;
    return id;
  }
  return { traceId: () => take(32), spanId: () => take(16) };
}
