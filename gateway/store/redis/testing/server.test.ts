import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { REDIS_MISSING, startRedis } from './server.ts';

describe('the redis-server of tests', { skip: REDIS_MISSING }, () => {
  it('keeps its data over a stop, loses it when it is to begin empty, and leaves nothing behind', async () => {
    let dir = '';
    {
      await using redis = await startRedis();
      dir = redis.dir;
      await redis.command('SET', 'a', '1');
      await redis.stop();
      await redis.restart();
      assert.equal(await redis.command('GET', 'a'), '1');
      await redis.kill();
      await assert.rejects(redis.command('GET', 'a'));
      await redis.restart({ empty: true });
      assert.equal(await redis.command('GET', 'a'), null);
    }
    assert.equal(existsSync(dir), false);
  });

  it('answers nothing while it is paused, and goes on afterwards; it ends also while paused', async () => {
    await using redis = await startRedis();
    redis.pause();
    const socket = connect(redis.port, '127.0.0.1');
    try {
      const answer = new Promise<string>((resolve, reject) => {
        socket.once('data', (data) => resolve(data.toString()));
        socket.once('error', reject);
      });
      socket.write('PING\r\n');
      redis.resume();
      assert.equal(await answer, '+PONG\r\n');
    } finally {
      socket.destroy();
    }
    redis.pause();
    await redis.stop();
  });

  it('says why it did not start', async () => {
    await assert.rejects(startRedis({ config: { appendfsync: 'sometimes' } }), /sometimes|argument/i);
  });

  it('wants the password it was given, and is asked with it', async () => {
    await using redis = await startRedis({ config: { requirepass: 'open sesame' } });
    assert.equal(await redis.command('PING'), 'PONG');
    assert.match(redis.url, /:open%20sesame@/);
  });
});
