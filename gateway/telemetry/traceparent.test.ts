import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createIdSource, formatTraceparent, parseTraceparent } from './traceparent.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

test('a traceparent is read and written', () => {
  assert.deepEqual(parseTraceparent(`00-${TRACE}-${SPAN}-01`), { traceId: TRACE, spanId: SPAN, sampled: true });
  assert.equal(parseTraceparent(`00-${TRACE}-${SPAN}-00`)?.sampled, false);
  assert.equal(formatTraceparent(TRACE, SPAN, true), `00-${TRACE}-${SPAN}-01`);
  assert.equal(formatTraceparent(TRACE, SPAN, false), `00-${TRACE}-${SPAN}-00`);
});

test('only the lowest flag is sampled', () => {
  assert.equal(parseTraceparent(`00-${TRACE}-${SPAN}-02`)?.sampled, false);
  assert.equal(parseTraceparent(`00-${TRACE}-${SPAN}-ff`)?.sampled, true);
});

test('a later version is read as far as the first one goes', () => {
  assert.equal(parseTraceparent(`cc-${TRACE}-${SPAN}-01`)?.traceId, TRACE);
  assert.equal(parseTraceparent(`cc-${TRACE}-${SPAN}-01-what-the-future-will-be-like`)?.traceId, TRACE);
});

for (const [what, header] of [
  ['empty', ''],
  ['cut short', `00-${TRACE}-${SPAN}`],
  ['version ff', `ff-${TRACE}-${SPAN}-01`],
  ['longer than its version allows', `00-${TRACE}-${SPAN}-01-x`],
  ['without a dash behind the flags', `cc-${TRACE}-${SPAN}-01x`],
  ['trace id of zeros', `00-${'0'.repeat(32)}-${SPAN}-01`],
  ['span id of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`],
  ['upper case', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
  ['not hex', `00-${TRACE.replace('4', 'g')}-${SPAN}-01`],
  ['two headers in one', `00-${TRACE}-${SPAN}-01,00-${TRACE}-${SPAN}-01`],
] as const) {
  test(`not valid: ${what}`, () => assert.equal(parseTraceparent(header), null));
}

test('ids are hex of their length, and none comes twice over several blocks', () => {
  const ids = createIdSource();
  const seen = new Set<string>();
  for (let i = 0; i < 3000; i++) {
    const traceId = ids.traceId();
    const spanId = ids.spanId();
    assert.match(traceId, /^[0-9a-f]{32}$/);
    assert.match(spanId, /^[0-9a-f]{16}$/);
    seen.add(traceId).add(spanId);
  }
  assert.equal(seen.size, 6000);
});
