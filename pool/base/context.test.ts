import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HttpInvokeHead } from '../../functions/contract/invocation.ts';
import { Invocation, type InvocationHost } from './context.ts';
import { Deadlines } from './deadlines.ts';
import type { GuestModule } from './guest.ts';

const HEAD: HttpInvokeHead = {
  kind: 'invoke',
  trigger: 'http',
  module: 'm',
  invocationId: 'i-1',
  hops: 0,
  traceparent: '',
  timeoutMs: 1_000,
  method: 'GET',
  url: 'http://x/',
  headers: [],
  hasBody: false,
  upgrade: false,
  remoteAddress: '',
};

/** A clock moved by hand, and what was said of invocations. */
function setup() {
  let nowMs = 0;
  const deadlines = new Deadlines(() => nowMs);
  const settled: [timedOut: boolean, announced: boolean][] = [];
  const failed: unknown[] = [];
  const host: InvocationHost = {
    deadlines,
    now: () => nowMs,
    logger: () => assert.fail('nothing is logged here'),
    spans: () => assert.fail('nothing is traced here'),
    waitUntilFailed: (_invocation, error) => failed.push(error),
    settled: (_invocation, timedOut, announced) => settled.push([timedOut, announced]),
  };
  const start = () => new Invocation(HEAD, {} as GuestModule, host);
  const at = (ms: number) => {
    nowMs = ms;
    deadlines.sweep();
  };
  return { start, at, settled, failed, [Symbol.dispose]: () => deadlines.stop() };
}

test('the signal is aborted at the deadline and not before, also when it is first asked for later', () => {
  using world = setup();
  const [early, late] = [world.start(), world.start()];
  const { signal } = early;
  world.at(999);
  assert.equal(signal.aborted, false);
  world.at(1_000);
  assert.equal(signal.aborted, true);
  assert.equal((late.signal.reason as DOMException).name, 'TimeoutError');
});

test('the deadline ends at the response head: a stream may go on', () => {
  using world = setup();
  const invocation = world.start();
  invocation.streams();
  world.at(60_000);
  assert.equal(invocation.signal.aborted, false);
  invocation.ended();
  assert.deepEqual(world.settled, [[false, true]]);
});

test('an invocation that ends with nothing to wait for settles at once, unannounced', () => {
  using world = setup();
  const invocation = world.start();
  assert.equal(invocation.waiting, false);
  invocation.ended();
  invocation.ended();
  assert.deepEqual(world.settled, [[false, false]]);
});

test('waitUntil is cut off 30 s after the answer', async () => {
  using world = setup();
  const invocation = world.start();
  const { promise, resolve } = Promise.withResolvers<void>();
  invocation.waitUntil(promise);
  world.at(500);
  assert.equal(invocation.waiting, true);
  invocation.ended();
  world.at(30_499);
  assert.deepEqual([world.settled, invocation.signal.aborted], [[], false]);
  world.at(30_500);
  assert.deepEqual([world.settled, invocation.signal.aborted], [[[true, true]], true]);
  resolve();
  await promise;
  assert.equal(world.settled.length, 1);
});

test('promises given to waitUntil while others settle are waited for as well', async () => {
  using world = setup();
  const invocation = world.start();
  const second = Promise.withResolvers<void>();
  const first = Promise.resolve().then(() => invocation.waitUntil(second.promise));
  invocation.waitUntil(first);
  assert.equal(invocation.waiting, true);
  invocation.ended();
  await first;
  assert.deepEqual(world.settled, []);
  second.resolve();
  await new Promise(setImmediate);
  assert.deepEqual(world.settled, [[false, true]]);
});

test('a rejected waitUntil is told and counts as done', async () => {
  using world = setup();
  const invocation = world.start();
  invocation.waitUntil(Promise.reject(new Error('in vain')));
  invocation.ended();
  await new Promise(setImmediate);
  assert.equal((world.failed[0] as Error).message, 'in vain');
  assert.deepEqual(world.settled, [[false, false]]);
});

test('what is not a promise may be given to waitUntil', async () => {
  using world = setup();
  const invocation = world.start();
  invocation.waitUntil(5 as unknown as Promise<unknown>);
  invocation.ended();
  await new Promise(setImmediate);
  assert.equal(world.settled.length, 1);
});
