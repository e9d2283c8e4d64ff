/** Messages, and what a consumer does with them, in few words. */
import assert from 'node:assert/strict';
import type { ClaimedMessage, NewMessage } from '../api/queues.ts';
import type { Store } from '../store.ts';
import { NOW } from './harness.ts';

export function messageOf(id: string): NewMessage {
  return {
    id,
    body: new Uint8Array(Buffer.from(JSON.stringify({ id }))),
    contentType: 'json',
    delayS: 0,
    traceparent: null,
    hops: 0,
  };
}

export function enqueue(store: Store, queue: string, ids: string[], nowMs = NOW) {
  return store.queues.enqueue(queue, ids.map(messageOf), nowMs);
}

export function claim(
  store: Store,
  queue: string,
  options: { most: number; nowMs?: number; leaseUntil?: number; owner?: string },
): Promise<ClaimedMessage[]> {
  const { most, nowMs = NOW, leaseUntil = nowMs + 30_000, owner = 'test' } = options;
  return store.queues.claim(queue, { most, nowMs, leaseUntil, owner });
}

export function ack(store: Store, queue: string, held: ClaimedMessage[], nowMs = NOW) {
  return store.queues.settle(
    queue,
    held.map(({ id, fence }) => ({ id, fence, verdict: 'ack' })),
    nowMs,
  );
}

export async function kill(store: Store, queue: string, held: ClaimedMessage[], nowMs = NOW): Promise<void> {
  const verdicts = held.map(({ id, fence }) => ({ id, fence, verdict: 'dead' as const, reason: 'out of retries' }));
  assert.deepEqual(await store.queues.settle(queue, verdicts, nowMs), { refused: [] });
}

export function idsOf(messages: ClaimedMessage[]): string[] {
  return messages.map(({ id }) => id);
}
