import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SpanReport } from '../../functions/contract/span.ts';
import { ProtocolViolation } from '../link/frames.ts';
import { isSpansEvent } from './span-event.ts';
import { baseEvent, bindingCall } from './validate.ts';

const SPAN: SpanReport = {
  id: 2,
  parent: 1,
  name: 'step one',
  startedAt: 10,
  endedAt: 10.5,
  error: null,
  attributes: { 'hearth.step': 'one', attempts: 2, ok: true },
};
const event = (...spans: unknown[]) => ({ event: 'spans', module: 'main', invocationId: 'i', spans });

test('a report in bounds is taken', () => {
  assert.ok(isSpansEvent(event(SPAN, { ...SPAN, parent: null, error: 'no', attributes: {} })));
  assert.ok(isSpansEvent(event()));
});

test('what a base of ours would never send is refused', () => {
  const wrong: Partial<Record<keyof SpanReport, unknown>>[] = [
    { id: 0 },
    { id: 1.5 },
    { id: 129 },
    { id: '2' },
    { parent: 2 },
    { parent: 3 },
    { parent: -1 },
    { parent: undefined },
    { name: 7 },
    { name: 'x'.repeat(129) },
    { startedAt: -1 },
    { startedAt: null },
    { endedAt: 9 },
    { endedAt: Number.POSITIVE_INFINITY },
    { error: 'x'.repeat(513) },
    { error: {} },
    { attributes: null },
    { attributes: [] },
    { attributes: { nested: {} } },
    { attributes: { long: 'x'.repeat(257) } },
    { attributes: { ['k'.repeat(65)]: 1 } },
    { attributes: { none: null } },
    { attributes: Object.fromEntries(Array.from({ length: 17 }, (_, n) => [`n${n}`, n])) },
  ];
  for (const change of wrong) assert.equal(isSpansEvent(event({ ...SPAN, ...change })), false, JSON.stringify(change));
  assert.equal(isSpansEvent(event(null)), false);
  assert.equal(isSpansEvent(event(...Array.from({ length: 129 }, () => SPAN))), false);
  assert.equal(isSpansEvent({ ...event(SPAN), invocationId: null }), false);
  assert.equal(isSpansEvent({ ...event(SPAN), module: undefined }), false);
  assert.equal(isSpansEvent({ ...event(), spans: {} }), false);
});

test('a wrong one is a violation of the protocol, and so is a call under a span that cannot be', () => {
  assert.equal(baseEvent(event(SPAN)).event, 'spans');
  assert.throws(() => baseEvent(event({ ...SPAN, id: 0 })), ProtocolViolation);
  const call = { kind: 'binding', module: 'main', invocationId: 'i', binding: 'KV', call: { op: 'kv.get', key: 'k' } };
  assert.equal(bindingCall({ ...call, span: 3 }).span, 3);
  for (const span of [0, 129, '3', null]) assert.throws(() => bindingCall({ ...call, span }), ProtocolViolation);
});
