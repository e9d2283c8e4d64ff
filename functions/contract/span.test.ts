import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_SPANS, spanIdOf, traceparentUnder } from './span.ts';

test('spans under one invoke span have ids of their own, and none is its', () => {
  for (const invoke of ['b7ad6b7169203331', '0000000000000001', 'ffffffffffffffff', '9e3779b97f4a7c15']) {
    const ids = Array.from({ length: MAX_SPANS }, (_, n) => spanIdOf(invoke, n + 1));
    assert.equal(new Set([invoke, ...ids]).size, MAX_SPANS + 1);
    assert.ok(ids.every((id) => /^[0-9a-f]{16}$/.test(id) && !/^0+$/.test(id)));
  }
});

test('what is no traceparent stays as it is', () => {
  for (const odd of ['', 'x', '00-1-2-3', '00-0af7651916cd43dd8448eb211c80319c-B7AD6B7169203331-01']) {
    assert.equal(traceparentUnder(odd, 1), odd);
  }
});
