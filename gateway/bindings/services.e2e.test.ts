/** What a function expects to be there, through deployed functions of a real gateway. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startGateway, type TestGateway } from '../testing/gateway.ts';

interface Problem {
  code: string;
  detail: string;
  errors?: { path?: string; message: string }[];
}

describe('services of a function', () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startGateway();
  });
  after(() => gateway[Symbol.asyncDispose]());

  const refused = async (name: string, manifest: Record<string, unknown>, source = 'export default { fetch() {} }') => {
    const answer = await gateway.api<Problem>('PUT', `/v1/functions/${name}`, {
      manifest,
      files: { 'index.ts': source },
    });
    assert.equal(answer.status, 422, JSON.stringify(answer.body));
    return answer.body;
  };

  it('auth: a function is locked until its secret is set, and says who has to do what', async () => {
    await gateway.deploy('locked', 'export default { fetch: () => new Response("in") }', {
      manifest: { hearth: { auth: { bearer: 'TOKEN' } } },
    });
    const call = async (token: string) => {
      const response = await fetch(`${gateway.url}/locked`, { headers: { authorization: `Bearer ${token}` } });
      return { status: response.status, text: await response.text() };
    };
    const before = await call('x');
    assert.equal(before.status, 403);
    const { detail } = JSON.parse(before.text) as Problem;
    assert.match(
      detail,
      /its secret TOKEN is not set\. Its owner sets it: PUT \/v1\/functions\/locked\/secrets\/TOKEN/,
    );
    assert.doesNotMatch(detail, /scope/);
    await gateway.api('PUT', '/v1/functions/locked/secrets/TOKEN', { value: 's3cret' });
    assert.deepEqual(await call('s3cret'), { status: 200, text: 'in' });
    assert.equal((await call('other')).status, 401);
  });

  it('auth: keys are never fetched from this machine', async () => {
    for (const jwks of [
      'http://127.0.0.1:9/',
      'http://[::1]/keys',
      'http://169.254.169.254/keys',
      'http://2130706433/',
    ]) {
      const problem = await refused('jwks', { hearth: { auth: { jwks, audience: 'a' } } });
      assert.equal(problem.code, 'MANIFEST_INVALID');
      assert.equal(problem.errors?.[0]?.path, 'hearth.auth.jwks');
      assert.match(problem.detail, /fetches no keys from/);
    }
    await refused('jwks', { hearth: { auth: { jwks: 'https://user:pass@issuer.example/', audience: 'a' } } });
  });
});
