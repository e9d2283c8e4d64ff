/** Many calls of methods at once, while callers give up and bases end. The long form: `node bench/soak/rpc-calls.ts`. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startGateway, type TestGateway } from '../testing/gateway.ts';
import { callAndKill, type RpcCourseOptions } from '../testing/rpc-course.ts';

const LIMIT = { timeout: 120_000 };

let gateway: TestGateway;

before(async () => {
  gateway = await startGateway();
}, LIMIT);
after(() => gateway?.[Symbol.asyncDispose]());

for (const { where, concurrency, calls } of [
  // One after the other each waits for every thread on its way to be scheduled.
  { where: 'bases', concurrency: 1, calls: 150 },
  { where: 'bases', concurrency: 16, calls: 600 },
  { where: 'hosts', concurrency: 64, calls: 600 },
  { where: 'group', concurrency: 16, calls: 600 },
] satisfies Pick<RpcCourseOptions, 'where' | 'concurrency' | 'calls'>[]) {
  const title = `${where}, ${concurrency} at once: each call is answered, or ends for what was done to it, and nothing is left of it`;
  test(title, LIMIT, async (t) => {
    const seed = Date.now() % 2 ** 31;
    t.diagnostic(`seed ${seed}`);
    const course = { gateway, name: `${where}-${concurrency}`, where, concurrency, seed };
    const found = await callAndKill({ ...course, calls, burst: 11, abortShare: 10, killShare: 3 });
    assert.deepEqual(found.unexplained, []);
    assert.equal(found.inFlight, 0, 'slots');
    assert.equal(found.held, 0, 'objects');
  });
}
