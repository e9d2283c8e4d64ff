import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createSeal } from '../seal.ts';
import { StoreStartError } from '../start-error.ts';
import type { KeyProof } from './start.ts';
import { openOn } from './testing/open.ts';
import { REDIS_MISSING, startRedis } from './testing/server.ts';

function refusal(code: string, pattern: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof StoreStartError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    assert.doesNotMatch(error.message, /\n|sesame/);
    return true;
  };
}

describe('starting the Redis store', { skip: REDIS_MISSING }, () => {
  it('refuses a Redis that is not there, and one that does not answer, naming where it was looked for', async () => {
    await using redis = await startRedis();
    const where = new RegExp(`127\\.0\\.0\\.1:${redis.port} cannot be used \\(.*REDIS_URL`);
    redis.pause();
    await assert.rejects(openOn(redis), refusal('STORE_AWAY', where));
    await redis.kill();
    await assert.rejects(openOn(redis), refusal('STORE_AWAY', where));
  });

  it('refuses a wrong password and a missing one without showing any, and takes the right one', async () => {
    await using redis = await startRedis({ config: { requirepass: 'open sesame' } });
    const say = /does not let Hearth in \((WRONGPASS|NOAUTH).*REDIS_URL/;
    await assert.rejects(openOn({ url: redis.url.replace('open', 'shut') }), refusal('STORE_REFUSED', say));
    await assert.rejects(openOn({ url: `redis://127.0.0.1:${redis.port}` }), refusal('STORE_REFUSED', say));
    await using opened = await openOn(redis);
    assert.deepEqual(await opened.store.tokens.list(), []);
  });

  it('opens a socket of this machine', async () => {
    await using redis = await startRedis({ config: { unixsocket: './redis.sock' } });
    await using opened = await openOn({ url: `unix://${redis.dir}/redis.sock` });
    assert.deepEqual(await opened.store.tokens.list(), []);
    await redis.kill();
    const where = new RegExp(`${redis.dir}/redis\\.sock cannot be used`);
    await assert.rejects(openOn({ url: `unix://${redis.dir}/redis.sock` }), refusal('STORE_AWAY', where));
  });

  it('refuses a replica, which takes no writes', async () => {
    await using redis = await startRedis();
    await redis.command('REPLICAOF', '127.0.0.1', '1');
    await assert.rejects(openOn(redis), refusal('STORE_REFUSED', /is a replica .* REDIS_URL name the primary/));
  });

  it('refuses what a newer Hearth wrote, naming both versions, and leaves it as it was', async () => {
    await using redis = await startRedis();
    await (await openOn(redis)).store.close();
    await redis.command('SET', '{hearth}:store', '42:of tomorrow');
    await assert.rejects(openOn(redis), refusal('STORE_NEWER', /schema version 42 .* up to 1;/));
    assert.equal(await redis.command('GET', '{hearth}:store'), '42:of tomorrow');
    assert.equal(await redis.command('EXISTS', '{hearth}:store:42:of tomorrow'), 0);
  });

  it('refuses what is no store of Hearth', async () => {
    await using redis = await startRedis();
    await redis.command('SET', '{hearth}:store', 'a shop');
    await assert.rejects(openOn(redis), refusal('STORE_DAMAGED', /holds something else/));
  });

  it('knows an empty Redis from one that has a store already, and one of several that find it empty has made it', async () => {
    await using redis = await startRedis();
    const opened = await Promise.all([openOn(redis), openOn(redis), openOn(redis)]);
    try {
      assert.deepEqual(opened.map(({ isNew }) => isNew).sort(), [false, false, true]);
    } finally {
      for (const { store } of opened) await store.close();
    }
    await using later = await openOn(redis);
    assert.equal(later.isNew, false);
  });

  it('warns of a Redis that keeps nothing, or throws away what it keeps; and not of one that does neither', async () => {
    {
      await using redis = await startRedis({
        config: { appendonly: 'no', maxmemory: '100mb', 'maxmemory-policy': 'allkeys-lru' },
      });
      await using opened = await openOn(redis);
      assert.match(opened.log.lines.join('\n'), /append-only file.*\n.*allkeys-lru/);
    }
    await using redis = await startRedis({ config: { maxmemory: '100mb' } });
    await using opened = await openOn(redis);
    assert.deepEqual(opened.log.lines, []);
  });

  it('lets in who has the key of the secrets, also as an older one, and nobody else', async () => {
    await using redis = await startRedis();
    const [old, current, other] = [1, 2, 3].map((byte) => new Uint8Array(32).fill(byte)) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    await (await openOn(redis, { keyProof: proofOf(old) })).store.close();
    const unknown = refusal('STORE_KEY', /sealed with another key; .* HEARTH_SECRET_KEY/);
    await assert.rejects(openOn(redis, { keyProof: proofOf(other) }), unknown);
    await (await openOn(redis, { keyProof: proofOf(current, old) })).store.close();
    // From now on it is sealed with the newer one.
    await (await openOn(redis, { keyProof: proofOf(current) })).store.close();
    await assert.rejects(openOn(redis, { keyProof: proofOf(old) }), unknown);
  });
});

function proofOf(...keys: Uint8Array[]): KeyProof {
  const seal = createSeal(keys);
  return {
    make: () => seal.seal('a', 'b', 'c'),
    check(proof) {
      try {
        seal.open('a', 'b', proof);
      } catch {
        // Not one of these keys.
        return 'unknown';
      }
      return seal.isCurrent(proof) ? 'current' : 'older';
    },
  };
}
