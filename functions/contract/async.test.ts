import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { asyncPlan, asyncSettingsSchema, DEFAULT_ASYNC, destinationSchema } from './async.ts';
import { ANY_QUEUE_NAME_PATTERN } from './limits.ts';
import { manifestSchema } from './manifest.ts';
import { publicationSchema } from './publication.ts';

describe('settings of asynchronous invocations', () => {
  it('are those of AWS Lambda where nobody says anything', () => {
    assert.deepEqual(asyncPlan(undefined, undefined), DEFAULT_ASYNC);
    assert.deepEqual(DEFAULT_ASYNC.retryDelaysSeconds, [60, 120]);
    assert.equal(manifestSchema.parse({ name: 'a' }).hearth.async, undefined);
  });

  it('come from the call, else from the manifest, key by key', () => {
    const manifest = manifestSchema.parse({
      name: 'a',
      hearth: { async: { retries: 5, maxAgeSeconds: 60, onSuccess: { queue: 'done' }, onFailure: { function: 'f' } } },
    }).hearth.async;
    const plan = asyncPlan({ retries: 0, onSuccess: null }, manifest);
    assert.deepEqual(plan, {
      retries: 0,
      retryDelaysSeconds: [60, 120],
      maxAgeSeconds: 60,
      onSuccess: null,
      onFailure: { function: 'f', path: '/' },
    });
  });

  for (const [what, destination] of [
    ['a queue', { queue: 'done' }],
    ['the dead letters of a queue', { queue: 'done.dead' }],
    ['a function at a path', { function: 'next', path: '/done?x=1' }],
    ['a callback', { url: 'https://example.com/hook?x=1' }],
  ] as const) {
    it(`take ${what} as a destination`, () => {
      assert.equal(destinationSchema.safeParse(destination).success, true);
    });
  }

  for (const [what, destination] of [
    ['two at once', { queue: 'done', function: 'next' }],
    ['none', {}],
    ["one of Hearth's own queues", { queue: 'async.next' }],
    ['a name in capitals', { function: 'Next' }],
    ['a path that is none', { function: 'next', path: 'done' }],
    ['a file', { url: 'file:///etc/passwd' }],
    ['no URL', { url: 'example.com' }],
    ['a URL with a password', { url: 'https://me:secret@example.com/' }],
  ] as const) {
    it(`refuse ${what} as a destination`, () => {
      assert.equal(destinationSchema.safeParse(destination).success, false);
    });
  }

  for (const [what, settings] of [
    ['retries below zero', { retries: -1 }],
    ['half a retry', { retries: 0.5 }],
    ['more than ten retries', { retries: 11 }],
    ['no delays', { retryDelaysSeconds: [] }],
    ['a delay of more than a day', { retryDelaysSeconds: [86_401] }],
    ['an age of nothing', { maxAgeSeconds: 0 }],
    ['an age of more than a day', { maxAgeSeconds: 86_401 }],
    ['an unknown key', { maximumRetryAttempts: 1 }],
  ] as const) {
    it(`refuse ${what}`, () => {
      assert.equal(asyncSettingsSchema.safeParse(settings).success, false);
      assert.equal(manifestSchema.safeParse({ name: 'a', hearth: { async: settings } }).success, false);
    });
  }
});

describe("Hearth's own queues", () => {
  for (const queue of ['async.work', 'async.work.dead', 'async.work.destinations', 'async.work.destinations.dead']) {
    it(`${queue} can be named, and is nobody's to send to or to take from`, () => {
      assert.match(queue, ANY_QUEUE_NAME_PATTERN);
      for (const queues of [
        { consumers: [{ queue }] },
        { consumers: [{ queue: 'q', dead_letter_queue: queue }] },
        { producers: [{ binding: 'Q', queue }] },
      ]) {
        assert.equal(manifestSchema.safeParse({ name: 'a', queues }).success, false);
      }
      assert.equal(publicationSchema.safeParse({ function: 'a', queues: [queue] }).success, false);
      assert.equal(publicationSchema.safeParse({ function: 'a', queues: ['q'] }).success, true);
    });
  }

  it('are of functions, and of nothing else', () => {
    for (const name of [
      'async',
      'async.',
      'async.A',
      'async.a.b',
      'async.a.destinations.b',
      'a.destinations',
      'async.a.dead.b',
    ]) {
      assert.equal(ANY_QUEUE_NAME_PATTERN.test(name), name === 'async', name);
    }
  });
});
