/**
 * `node bench/soak/rpc-calls.ts [--calls 20000] [--seed N]`: so many calls of methods at once by 1, 16 and 64, across
 * bases, across hosts and within a group, while callers give up and bases are ended; then the same without an end, to see
 * what the callee's base keeps. Exit code 1 when a call had no answer or a wrong one, or something was left.
 */
import { parseArgs } from 'node:util';
import { startGateway } from '../../gateway/testing/gateway.ts';
import { callAndKill } from '../../gateway/testing/rpc-course.ts';

const { values } = parseArgs({
  options: {
    calls: { type: 'string', default: '20000' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
});
const [calls, seed] = [values.calls, values.seed].map(Number) as [number, number];
if (!(calls > 0) || !Number.isInteger(seed)) {
  console.error('--calls and --seed are whole numbers, the first above 0.');
  process.exit(2);
}

/** Rounds in which no base is ended, so that what one keeps adds up. */
const LASTING_ROUNDS = 4;

console.log(`${calls} calls each, seed ${seed}`);
for (const where of ['bases', 'hosts', 'group'] as const) {
  await using gateway = await startGateway();
  const run = async (name: string, concurrency: number, killShare: number) => {
    const course = { gateway, name, where, calls, concurrency, burst: 22, abortShare: 10, killShare, seed };
    const begun = performance.now();
    const found = await callAndKill(course);
    const { unexplained, inFlight, held, heapBytes } = found;
    if (unexplained.length + inFlight + held > 0) process.exitCode = 1;
    console.log(
      `${where}, ${concurrency} at once: ${found.calls} calls in ${((performance.now() - begun) / 1000).toFixed(1)} s, ` +
        `${found.aborted} requests given up, ${found.killed} bases ended, ${JSON.stringify(found.explained)}, ` +
        `${inFlight} slots and ${held} objects held, heap ${(heapBytes / 2 ** 20).toFixed(1)} MB`,
    );
    for (const what of unexplained) console.log(`  UNEXPLAINED: ${what}`);
  };
  for (const concurrency of [1, 16, 64]) await run('killed', concurrency, 2);
  for (let round = 0; round < LASTING_ROUNDS; round++) await run('lasting', 16, 0);
}
