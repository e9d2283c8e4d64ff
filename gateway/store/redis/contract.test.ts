import { after, before, describe } from 'node:test';
import { storeContract } from '../store-contract.ts';
import { openRedisStore } from './client.ts';
import { readRedisUrl } from './target.ts';
import { REDIS_MISSING, type RedisServer, startRedis } from './testing/server.ts';

describe('over a real redis-server', { skip: REDIS_MISSING }, () => {
  let redis: RedisServer;
  before(async () => {
    redis = await startRedis();
  });
  after(async () => {
    await redis[Symbol.asyncDispose]();
  });

  const make = async () => {
    await redis.command('FLUSHALL');
    const target = readRedisUrl(redis.url);
    if (target === undefined) throw new Error(`not understood: ${redis.url}`);
    const log = { info: () => undefined, warn: console.warn, error: console.error };
    return {
      open: async () => (await openRedisStore({ target, log })).store,
      remove: async () => undefined,
    };
  };
  storeContract('redis', make, { shared: true });
});
