import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readRedisUrl } from './target.ts';

test('user and password are taken off, and never shown', () => {
  const target = readRedisUrl('rediss://me:p%40ss%25@redis.test:7000/2');
  assert.deepEqual(target, {
    options: {
      host: 'redis.test',
      port: 7000,
      username: 'me',
      password: 'p@ss%',
      db: 2,
      tls: { servername: 'redis.test' },
    },
    shown: 'redis.test:7000',
  });
});

test('what is no place of a Redis is none, a password with a bare percent sign among it', () => {
  for (const text of [
    'redis',
    'http://redis.test',
    'redis://',
    'redis://redis.test/x',
    'redis://redis.test/0?a=b',
    'redis://redis.test:70000',
    'redis://:50%@redis.test',
    'redis://%ZZ:x@redis.test',
    'unix:///%ZZ',
    'unix://host/path',
  ]) {
    assert.equal(readRedisUrl(text), undefined, text);
  }
});
