import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { Rest } from './rest.ts';

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout'] });
});

test('a base that nobody leases is compacted once, a while after the end of its rehearsal', () => {
  const compact = mock.fn();
  const rest = new Rest(compact);
  rest.begin();
  mock.timers.tick(2_999);
  rest.begin();
  mock.timers.tick(2_999);
  assert.equal(compact.mock.callCount(), 0);
  mock.timers.tick(1);
  assert.equal(compact.mock.callCount(), 1);
  mock.timers.tick(60_000);
  assert.equal(compact.mock.callCount(), 1);
});

test('a base that is leased before is left as it is, whatever is unloaded from it later', () => {
  const compact = mock.fn();
  const rest = new Rest(compact);
  rest.begin();
  rest.leased();
  rest.begin();
  mock.timers.tick(60_000);
  assert.equal(compact.mock.callCount(), 0);
});
