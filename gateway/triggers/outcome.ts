/** Requests and answers as JSON that people and destinations read. */
import type { HeaderList, ResultHead } from '../../functions/contract/invocation.ts';
import { isTooDeep } from '../../pool/link/json-depth.ts';
import type { TriggerHead } from './dispatcher.ts';

/** What came of an invocation, in its trigger's own shape. */
export interface Outcome {
  /** http. */
  status?: number;
  /** A header that repeats (set-cookie) is an array. */
  headers?: Record<string, string | string[]>;
  body?: string;
  bodyEncoding?: 'text' | 'base64';
  /** cron: controller.noRetry() was called. */
  noRetry?: boolean;
  /** queue: per message. */
  verdicts?: { id: string; verdict: 'ack' | 'retry'; delaySeconds?: number }[];
  /** queue: the handler threw. */
  error?: { name: string; message: string };
  /** rpc. */
  result?: unknown;
}

/** `body` null: it was not kept. */
export function outcomeOf(head: ResultHead, body: Uint8Array | null): Outcome {
  switch (head.kind) {
    case 'response':
      return { status: head.status, headers: headersOf(head.headers), ...(body === null ? {} : textOf(body)) };
    case 'cron-result':
      return { noRetry: head.noRetry };
    case 'queue-result':
      return {
        verdicts: head.verdicts.map((verdict) =>
          verdict.verdict === 'retry' && verdict.delayS !== null
            ? { id: verdict.id, verdict: verdict.verdict, delaySeconds: verdict.delayS }
            : { id: verdict.id, verdict: verdict.verdict },
        ),
        ...(head.error === null ? {} : { error: { name: head.error.name, message: head.error.message } }),
      };
    case 'rpc-result':
      return body === null ? {} : { result: jsonOf(body) };
  }
}

/** What a function was asked. `body` null: there was none, or it is left out. */
export function askedOf(head: TriggerHead, body: Uint8Array | null): Record<string, unknown> {
  switch (head.trigger) {
    case 'http': {
      const { pathname, search } = new URL(head.url);
      const common = {
        trigger: 'http',
        method: head.method,
        path: pathname + search,
        headers: headersOf(head.headers),
      };
      return body === null ? common : { ...common, ...textOf(body) };
    }
    case 'cron':
      return { trigger: 'cron', cron: head.cron, scheduledTime: new Date(head.scheduledTime).toISOString() };
    case 'queue': {
      let start = 0;
      const messages = head.messages.map(({ id, contentType, bytes }) => {
        const own = body?.subarray(start, start + bytes) ?? null;
        start += bytes;
        return { id, contentType, ...(own === null ? {} : textOf(own)) };
      });
      return { trigger: 'queue', queue: head.queue, messages };
    }
    case 'rpc':
      return { trigger: 'rpc', method: head.method, ...(body === null ? {} : { args: jsonOf(body) }) };
  }
}

export function headersOf(list: HeaderList): Record<string, string | string[]> {
  const headers = new Map<string, string[]>();
  for (const [name, value] of list) headers.set(name, [...(headers.get(name) ?? []), value]);
  return Object.fromEntries(
    [...headers].map(([name, values]) => [name, values.length === 1 ? (values[0] ?? '') : values]),
  );
}

export function textOf(bytes: Uint8Array): { body: string; bodyEncoding: 'text' | 'base64' } {
  try {
    // The mark at its beginning is part of the text: what is read back is what was written.
    return { body: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes), bodyEncoding: 'text' };
  } catch {
    // Not UTF-8: an image, say.
    return { body: Buffer.from(bytes).toString('base64'), bodyEncoding: 'base64' };
  }
}

/** What is no JSON, a base may say anything, is given as it is; so is what would be too much to write again. */
function jsonOf(bytes: Uint8Array): unknown {
  const { body } = textOf(bytes);
  if (isTooDeep(body)) return body;
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}

export function bytesOf({ body, bodyEncoding }: { body: string; bodyEncoding: 'text' | 'base64' }): Uint8Array {
  return Buffer.from(body, bodyEncoding === 'text' ? 'utf8' : 'base64');
}
