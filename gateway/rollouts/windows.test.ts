import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { call } from './testing/calls.ts';
import { boundOf, bucketOf, createWindows, Histogram } from './windows.ts';

describe('a histogram of durations', () => {
  it('puts each duration into a bucket whose bound is less than a tenth above it', () => {
    for (let ms = 0.01; ms < 200_000; ms *= 1.03) {
      const bound = boundOf(bucketOf(ms));
      assert.ok(bound >= ms * 0.999_999 && bound < ms * 1.1, `${ms} ms is held to be ${bound}`);
    }
  });

  it('takes what is out of its range into its first and its last bucket', () => {
    const last = bucketOf(Number.POSITIVE_INFINITY);
    assert.equal(bucketOf(10_000_000), last);
    for (const nothing of [0, -5, Number.NaN]) assert.equal(bucketOf(nothing), 0);
    const histogram = new Histogram();
    for (const ms of [-1, Number.NaN, 10 ** 12]) histogram.record(ms);
    assert.equal(histogram.count, 3);
    assert.equal(histogram.above(0), 1);
  });

  it('knows quantiles, and how many are above one', () => {
    const histogram = new Histogram();
    for (let ms = 1; ms <= 1000; ms++) histogram.record(ms);
    for (const quantile of [0.5, 0.95, 1]) {
      const found = boundOf(histogram.bucketAt(quantile));
      assert.ok(found >= quantile * 1000 && found < quantile * 1100, `${quantile}: ${found}`);
    }
    const bucket = histogram.bucketAt(0.95);
    assert.equal(histogram.above(bucket), Math.max(0, 1000 - Math.floor(boundOf(bucket))));
    assert.equal(histogram.above(bucketOf(500)), 1000 - Math.floor(boundOf(bucketOf(500))));
    histogram.clear();
    assert.equal(histogram.count, 0);
    assert.equal(histogram.above(0), 0);
    assert.equal(histogram.bucketAt(0.95), 0);
  });
});

describe('the window of a rollout', () => {
  it('counts calls of the new version apart from those of all others', () => {
    const windows = createWindows();
    const { fresh, old } = windows.watch('shop', 'v2');
    for (let i = 0; i < 6; i++) windows.finished(call({ version: 'v2', latencyMs: 10 }));
    windows.finished(call({ version: 'v1', latencyMs: 20 }));
    windows.finished(call({ version: 'v0', latencyMs: 30 }));
    assert.deepEqual([fresh.requests, old.requests], [6, 2]);
    assert.deepEqual([fresh.latency.bucketAt(1), old.latency.bucketAt(1)], [bucketOf(10), bucketOf(30)]);
  });

  it('holds status 500 and above, and calls without an answer, for errors, and nothing else', () => {
    const windows = createWindows();
    const { fresh } = windows.watch('shop', 'v2');
    for (const status of [200, 302, 404, 429, 499]) windows.finished(call({ status }));
    assert.deepEqual([fresh.requests, fresh.errors], [5, 0]);
    for (const status of [500, 503, 599, null]) windows.finished(call({ status }));
    windows.finished({ ...call({ status: null }), facts: null });
    assert.deepEqual([fresh.requests, fresh.errors], [10, 5]);
    assert.equal(fresh.early.count + fresh.latency.count, 9);
  });

  it('counts the loading of a cold start by itself', () => {
    const windows = createWindows();
    const { fresh } = windows.watch('shop', 'v2');
    windows.finished(call({ latencyMs: 3, coldMs: 40 }));
    windows.finished(call({ latencyMs: 3 }));
    assert.equal(fresh.coldStart.count, 1);
    assert.equal(fresh.coldStart.bucketAt(0.5), bucketOf(40));
    assert.equal(fresh.early.bucketAt(1), bucketOf(3));
  });

  it('keeps the first calls of each instance apart, of the old version only where it was seen to start', () => {
    const windows = createWindows();
    const { fresh, old } = windows.watch('shop', 'v2');
    for (const instance of ['a', 'b']) for (let i = 0; i < 7; i++) windows.finished(call({ instance }));
    assert.deepEqual([fresh.early.count, fresh.latency.count], [10, 4]);
    for (let i = 0; i < 7; i++) windows.finished(call({ version: 'v1', instance: 'c' }));
    assert.deepEqual([old.early.count, old.latency.count], [0, 7]);
    windows.finished(call({ version: 'v1', instance: 'd', coldMs: 2 }));
    for (let i = 0; i < 7; i++) windows.finished(call({ version: 'v1', instance: 'd' }));
    assert.deepEqual([old.early.count, old.latency.count], [5, 10]);
    fresh.clear();
    windows.finished(call({ instance: 'a' }));
    assert.deepEqual([fresh.early.count, fresh.latency.count], [0, 1], 'an instance does not become young again');
  });

  it('counts no other function, no probe, and nothing once the rollout is over', () => {
    const windows = createWindows();
    windows.finished(call({}));
    const { fresh, old } = windows.watch('shop', 'v2');
    windows.finished(call({ functionName: 'cart' }));
    windows.finished(call({ probe: true }));
    windows.unwatch('shop');
    windows.finished(call({}));
    assert.deepEqual([fresh.requests, old.requests], [0, 0]);
  });
});
