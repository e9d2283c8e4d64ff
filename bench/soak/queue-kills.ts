/**
 * `node bench/soak/queue-kills.ts [--rounds 200] [--messages 10000] [--redis] [--seed N]`: kill -9 at random moments of a
 * gateway that handles so many messages in each round. Exit code 1 when one was lost, or handled again without need.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startRedis } from '../../gateway/store/redis/testing/server.ts';
import { killAmidMessages } from '../../gateway/testing/queue-kills.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '200' },
    messages: { type: 'string', default: '10000' },
    redis: { type: 'boolean', default: false },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
});
const [rounds, messages, seed] = [values.rounds, values.messages, values.seed].map(Number) as [number, number, number];
if (!(rounds > 0) || !(messages > 0) || !Number.isInteger(seed)) {
  console.error('--rounds, --messages and --seed are whole numbers, the first two above 0.');
  process.exit(2);
}

await using stack = new AsyncDisposableStack();
const dataDir = await mkdtemp(join(tmpdir(), 'hearth-soak-'));
stack.defer(() => rm(dataDir, { recursive: true, force: true }));
const redis = values.redis ? stack.use(await startRedis()) : null;
const env = redis === null ? {} : { HEARTH_STORE: 'redis', REDIS_URL: redis.url };
console.log(`${rounds} rounds of ${messages} messages on ${redis === null ? 'SQLite' : 'Redis'}, seed ${seed}`);
const found = await killAmidMessages({ rounds, messages, seed, dataDir, env, tell: console.log });
const { accepted, lost, strange, repeated, twice, inFlight } = found;
console.log(
  `${accepted.length} accepted, ${lost.length} lost, ${repeated} handled again (at most ${rounds * inFlight} were in flight at a kill), ${twice.length} deliveries made twice, ${strange.length} from nowhere`,
);
if (lost.length > 0) console.log(`lost: ${lost.join(' ')}`);
if (lost.length + strange.length + twice.length > 0 || repeated > rounds * inFlight) process.exitCode = 1;
