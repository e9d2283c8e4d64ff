/** A base that is changed at one gateway is another one at all of them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { REDIS_MISSING } from '../store/redis/testing/server.ts';
import type { TestGateway } from '../testing/gateway.ts';
import { constantLoad } from '../testing/load.ts';
import { answers, startCluster, until } from './testing/cluster.ts';

const MODULE = 'export default { fetch: (request, env) => new Response(env.BASE?.tag ?? "none") };';
const setup = (tag: string) => `export default () => ({ tag: ${JSON.stringify(tag)} });`;
const TEXT = { 'content-type': 'text/typescript' };

interface BaseView {
  generation: number;
  change: { state: string } | null;
}

const base = async (gateway: TestGateway) => (await gateway.api<BaseView>('GET', '/v1/bases/default')).body;

describe('a base of two gateways on one Redis', { skip: REDIS_MISSING }, () => {
  it('moves at both, with no failed request, forth and back', async () => {
    await using cluster = await startCluster(2);
    const [a, b] = cluster.gateways as [TestGateway, TestGateway];
    await a.deploy('tells', MODULE);
    await answers(`${b.url}/tells`, 'none');
    await using load = constantLoad(`${b.url}/tells`, { callers: 2 });
    const put = await a.api<BaseView>('PUT', '/v1/bases/default', setup('one'), TEXT);
    assert.equal(put.status, 200, JSON.stringify(put.body));
    await answers(`${a.url}/tells`, 'one');
    await answers(`${b.url}/tells`, 'one');
    assert.equal((await base(b)).generation, put.body.generation);
    // What comes later is of the new one at both.
    await b.deploy('later', MODULE);
    await answers(`${a.url}/later`, 'one');

    const back = await b.api<BaseView>('POST', '/v1/bases/default/rollback');
    assert.equal(back.status, 200, JSON.stringify(back.body));
    await answers(`${a.url}/tells`, 'none');

    const both = await Promise.all(
      [a, b].map((gateway, i) => gateway.api('PUT', '/v1/bases/default', setup(`both ${i}`), TEXT)),
    );
    const statuses = both.map(({ status }) => status);
    assert.ok(statuses.includes(200), JSON.stringify(both));
    assert.ok(
      both.every(({ status, body }) => status === 200 || (body as { code: string }).code === 'CONFLICT'),
      JSON.stringify(both),
    );
    // Whoever was last: both are the same in the end.
    await until(async () => {
      const texts = await Promise.all([a, b].map(async ({ url }) => (await fetch(`${url}/tells`)).text()));
      return texts[0] === texts[1] && texts[0] !== 'none' && (await base(a)).generation === (await base(b)).generation;
    });
    await load.more();
    await load.stop();
  });
});
