/** Gateways are replaced one after another while they are called: nobody notices. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { REDIS_MISSING } from '../store/redis/testing/server.ts';
import type { TestGateway } from '../testing/gateway.ts';
import { constantLoad } from '../testing/load.ts';
import { answers, startCluster } from './testing/cluster.ts';

/** Takes some time, so that each SIGTERM finds calls under way. */
const SLOW = `export default {
  async fetch() {
    await new Promise((resolve) => setTimeout(resolve, 50));
    return new Response('served');
  },
};`;

describe('gateways on one Redis behind a round-robin client', { skip: REDIS_MISSING }, () => {
  it('are replaced one after another under load with no failed request', async () => {
    await using cluster = await startCluster(2);
    const old = [...cluster.gateways] as TestGateway[];
    await old[0]?.deploy('served', SLOW);
    for (const { url } of old) await answers(`${url}/served`, 'served');
    // As a balancer does: a gateway is called from its readiness on, and no more from before its SIGTERM.
    let called = [...old];
    let turn = 0;
    await using load = constantLoad(() => `${called[turn++ % called.length]?.url}/served`, { callers: 4 });
    for (const gateway of old) {
      const fresh = await cluster.join();
      called.push(fresh);
      await load.more();
      called = called.filter((each) => each !== gateway);
      assert.equal(await gateway.stop(), 0, gateway.output());
      await load.more();
    }
    assert.ok(called.every((gateway) => !old.includes(gateway)));
    await called[0]?.deploy('after', SLOW);
    await answers(`${called[1]?.url}/after`, 'served');
    await load.stop();
  });
});
