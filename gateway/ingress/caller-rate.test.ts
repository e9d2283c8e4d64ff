/** Functions that may be called so often and no more. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { networkOf } from './caller-rate.ts';
import { startScripted } from './testing/scripted.ts';

const START_MS = 1_800_000_000_000;

describe('a function with a rate limit', () => {
  it('is called so often in a period, and says when to come again', async () => {
    let nowMs = START_MS;
    const rateLimit = { limit: 2, periodSeconds: 10, by: 'function' };
    await using hearth = await startScripted((call) => call.respond(200), { rateLimit, now: () => nowMs });
    const call = () => fetch(`${hearth.url}/hello`);
    assert.equal((await call()).status, 200);
    assert.equal((await call()).status, 200);
    const refused = await call();
    const problem = (await refused.json()) as { code: string; detail: string };
    assert.deepEqual([refused.status, problem.code], [429, 'OVERLOADED']);
    assert.match(problem.detail, /2 calls are taken in 10 s.*hearth\.rateLimit/);
    const afterS = Number(refused.headers.get('retry-after'));
    assert.ok(afterS >= 1 && afterS <= 20);
    nowMs += afterS * 1000;
    assert.equal((await call()).status, 200);
    assert.equal(hearth.calls.length, 3);
  });

  it('counts each address for itself, and believes a proxy only where it is trusted', async () => {
    const rateLimit = { limit: 1, periodSeconds: 60, by: 'ip' };
    const statuses = async (trustProxy: string[], addresses: string[]) => {
      const options = { rateLimit, now: () => START_MS, config: { trustProxy } };
      await using hearth = await startScripted((call) => call.respond(200), options);
      const all: number[] = [];
      for (const address of addresses) {
        const headers = { 'x-forwarded-for': address, 'cf-connecting-ip': address };
        all.push((await fetch(`${hearth.url}/hello`, { headers })).status);
      }
      return all;
    };
    assert.deepEqual(await statuses(['127.0.0.1'], ['10.0.0.1', '10.0.0.1', '10.0.0.2']), [200, 429, 200]);
    assert.deepEqual(await statuses([], ['10.0.0.1', '10.0.0.2']), [200, 429]);
    // A proxy adds to what its caller has made up, some with the port.
    assert.deepEqual(await statuses(['127.0.0.1'], ['1.1.1.1, 10.0.0.1', '2.2.2.2, 10.0.0.1:4711']), [200, 429]);
    const chained = ['3.3.3.3, 10.0.0.1, 192.168.0.1', '4.4.4.4,10.0.0.1,192.168.0.2', '10.0.0.2, 192.168.0.1'];
    assert.deepEqual(await statuses(['127.0.0.1', '192.168.0.0/16'], chained), [200, 429, 200]);
    assert.deepEqual(await statuses(['127.0.0.1'], ['[2001:db8::1]:80', '[2001:db8::2]:81', ' , ,']), [200, 429, 200]);
    const [one, two, other] = ['2001:db8::1', '2001:0DB8:0:0:ffff::9', '2001:db8:0:1::1'];
    assert.deepEqual(await statuses(['127.0.0.1'], [one, two, other] as string[]), [200, 429, 200]);
  });

  it('counts each value of a header for itself', async () => {
    const rateLimit = { limit: 1, periodSeconds: 60, by: { header: 'x-key' } };
    await using hearth = await startScripted((call) => call.respond(200), { rateLimit, now: () => START_MS });
    const call = async (key?: string) =>
      (await fetch(`${hearth.url}/hello`, { headers: key === undefined ? {} : { 'x-key': key } })).status;
    assert.deepEqual(
      [await call('a'), await call('a'), await call('b'), await call(), await call()],
      [200, 429, 200, 200, 429],
    );
  });

  it('counts nobody who may not call it', async () => {
    const options = {
      rateLimit: { limit: 1, periodSeconds: 60, by: 'function' },
      auth: { bearer: 'KEY' },
      vars: { KEY: 's3cret' },
      now: () => START_MS,
    };
    await using hearth = await startScripted((call) => call.respond(200), options);
    const call = async (token: string) =>
      (await fetch(`${hearth.url}/hello`, { headers: { authorization: `Bearer ${token}` } })).status;
    assert.deepEqual(
      [await call('x'), await call('x'), await call('s3cret'), await call('s3cret'), await call('x')],
      [401, 401, 200, 429, 401],
    );
  });

  it('takes what one client has of IPv6 for one address', () => {
    assert.equal(networkOf('10.1.2.3'), '10.1.2.3');
    assert.equal(networkOf('2001:db8::1'), '2001:db8:0:0');
    assert.equal(networkOf('2001:0db8:0000:0000:1:2:3:4'), '2001:db8:0:0');
    assert.equal(networkOf('::1'), '0:0:0:0');
    assert.equal(networkOf('fe80::1%eth0'), 'fe80:0:0:0');
    assert.equal(networkOf(''), '');
  });
});
