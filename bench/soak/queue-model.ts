/**
 * `node bench/soak/queue-model.ts [--cases 20000] [--redis] [--seed N]`: the queues of a store against the model of the
 * contract, for long. Exit code 1, and the calls that show it, where they differ.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { queueCase, runQueueCase } from '../../gateway/store/contract/queue-model.ts';
import { openRedisStore } from '../../gateway/store/redis/client.ts';
import { targetOf } from '../../gateway/store/redis/testing/open.ts';
import { startRedis } from '../../gateway/store/redis/testing/server.ts';
import { openSqliteStore } from '../../gateway/store/sqlite/client.ts';
import type { Store } from '../../gateway/store/store.ts';

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '20000' },
    redis: { type: 'boolean', default: false },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
});
const cases = Number(values.cases);
const seed = Number(values.seed);
if (!(cases > 0) || !Number.isInteger(seed)) {
  console.error('--cases and --seed are whole numbers, of cases more than 0.');
  process.exit(2);
}

await using stack = new AsyncDisposableStack();
const log = { info: () => undefined, warn: console.warn, error: console.error };
const store = await open();
stack.defer(() => store.close());
console.log(`${cases} cases on ${values.redis ? 'Redis' : 'SQLite'}, seed ${seed}`);
let count = 0;
// One after another: each has a clock of its own, and a store has one for all its queues.
const property = fc.asyncProperty(queueCase, (commands) => runQueueCase(store.queues, commands, `case${++count}`));
await fc.assert(property, { numRuns: cases, seed });
console.log(`${count} cases, no difference`);

async function open(): Promise<Store> {
  if (values.redis) {
    const redis = stack.use(await startRedis());
    return (await openRedisStore({ target: targetOf(redis.url), log })).store;
  }
  const dir = await mkdtemp(join(tmpdir(), 'hearth-soak-'));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  return openSqliteStore({ path: join(dir, 'hearth.db'), log });
}
