/** `kill -9` at random moments of a gateway amid its messages. The long form: `node bench/soak/queue-kills.ts`. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { REDIS_MISSING, startRedis } from '../store/redis/testing/server.ts';
import { killAmidMessages } from '../testing/queue-kills.ts';

async function killed(t: TestContext, rounds: number, messages: number, env: Record<string, string>): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'hearth-kills-'));
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  const seed = Date.now() % 2 ** 31;
  t.diagnostic(`seed ${seed}`);
  const found = await killAmidMessages({ rounds, messages, seed, dataDir, env, tell: (line) => t.diagnostic(line) });
  assert.equal(found.accepted.length, rounds * messages);
  assert.deepEqual(found.lost, []);
  assert.deepEqual(found.strange, []);
  assert.deepEqual(found.twice, []);
  assert.ok(found.repeated <= rounds * found.inFlight, `${found.repeated} were handled again`);
}

test('five kills amid thousands of messages: what was accepted is handled, and again only what was in flight', (t) =>
  killed(t, 5, 1_000, {}));

test('the same on Redis', { skip: REDIS_MISSING }, async (t) => {
  await using redis = await startRedis();
  await killed(t, 2, 500, { HEARTH_STORE: 'redis', REDIS_URL: redis.url });
});
