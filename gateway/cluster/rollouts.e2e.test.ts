/** The gateway that takes the steps of rollouts is killed: another one goes on. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { REDIS_MISSING } from '../store/redis/testing/server.ts';
import type { TestGateway } from '../testing/gateway.ts';
import { answers, startCluster, until } from './testing/cluster.ts';

const says = (text: string) => `export default { fetch: () => new Response(${JSON.stringify(text)}) };`;

interface View {
  id: string;
  state: string;
}

describe('two gateways on one Redis, of which one leads', { skip: REDIS_MISSING }, () => {
  it('finish a rollout when that one is killed, and hold the other to it until then', async () => {
    await using cluster = await startCluster(2);
    const all = [...cluster.gateways];
    const leading = () => all.filter((gateway) => gateway.output().includes('this gateway leads'));
    await until(async () => leading().length > 0);
    assert.equal(leading().length, 1, 'both lead');
    const [leader] = leading() as [TestGateway];
    const [other] = all.filter((gateway) => gateway !== leader) as [TestGateway];
    await other.deploy('shop', says('old'));
    const { version } = await other.deploy('shop', says('new'), { query: 'activate=false' });
    const begun = await other.api<View>('POST', '/v1/rollouts', {
      functions: [{ name: 'shop', version }],
      steps: [
        { percent: 50, confirm: true },
        { percent: 100, pauseSeconds: 1 },
      ],
    });
    assert.equal(begun.status, 201, JSON.stringify(begun.body));
    const path = `/v1/rollouts/${begun.body.id}`;
    const at = async (gateway: TestGateway) => (await gateway.api<View>('GET', path)).body.state;
    // That its pause is over is found by the one that leads, and known by both.
    await until(async () => (await at(leader)) === 'waiting' && (await at(other)) === 'waiting');
    const taken = await leader.api<{ code: string }>('DELETE', `/v1/functions/shop/versions/${version}`);
    assert.equal(taken.body.code, 'CONFLICT', JSON.stringify(taken.body));

    await leader.kill9();
    const confirmed = await other.api<View>('PATCH', path, { action: 'confirm' });
    assert.equal(confirmed.status, 200, JSON.stringify(confirmed.body));
    await answers(`${other.url}/shop`, 'new');
    // Nobody leads until the lease ends.
    await until(async () => (await at(other)) === 'completed');
    assert.match(other.output(), /this gateway leads/);
  });
});
