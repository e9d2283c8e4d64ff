/** What callers are told of a function's failure, and what its owner finds. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startGateway, type TestGateway } from '../testing/gateway.ts';

const SOURCE = `
export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === '/throw') throw new TypeError('password is hunter2');
    if (pathname === '/late') {
      return new Response(new ReadableStream({ async pull(c) { c.enqueue(new Uint8Array(10)); await new Promise((r) => setTimeout(r, 50)); throw new Error('half way'); } }));
    }
    if (pathname === '/exit') process.exit(3);
    if (pathname === '/hang') await new Promise(() => {});
    return new Response('ok');
  },
};`;

let gateway: TestGateway;
before(async () => {
  gateway = await startGateway();
  await gateway.deploy('faulty', { 'index.js': SOURCE }, { manifest: { hearth: { timeoutMs: 1000 } } });
});
after(() => gateway[Symbol.asyncDispose]());

async function logOf(invocationId: string): Promise<string> {
  const { body } = await gateway.api<{ lines: { invocationId: string; message: string }[] }>(
    'GET',
    '/v1/functions/faulty/logs',
  );
  return body.lines
    .filter((line) => line.invocationId === invocationId)
    .map(({ message }) => message)
    .join('\n');
}

const cases: [path: string, status: number, code: string, log: RegExp][] = [
  ['/throw', 500, 'FUNCTION_EXCEPTION', /TypeError: password is hunter2[\s\S]*at .*faulty\.js/],
  ['/exit', 502, 'FUNCTION_CRASHED', /FUNCTION_CRASHED/],
  ['/hang', 504, 'FUNCTION_TIMEOUT', /FUNCTION_TIMEOUT: No answer within 1000 ms/],
];
for (const [path, status, code, log] of cases) {
  test(`${path}: callers get ${code} without what was thrown, the owner's log has it under the invocation id`, async () => {
    const response = await fetch(`${gateway.url}/faulty${path}`);
    const text = await response.text();
    assert.equal(response.status, status);
    assert.equal(response.headers.get('content-type'), 'application/problem+json');
    assert.equal((JSON.parse(text) as { code: string }).code, code);
    assert.doesNotMatch(text, /hunter2|faulty\.js/);
    const id = response.headers.get('hearth-invocation-id') as string;
    assert.match(await logOf(id), log);
    const { body } = await gateway.api<{ state: string; error: { code: string } }>('GET', `/v1/invocations/${id}`);
    assert.equal(body.state, 'error');
    assert.equal(body.error.code, code);
    assert.equal(await (await fetch(`${gateway.url}/faulty/`)).text(), 'ok');
  });
}

test('an answer that breaks off half way is a broken connection for the caller and a stack for the owner', async () => {
  const response = await fetch(`${gateway.url}/faulty/late`);
  await assert.rejects(response.arrayBuffer());
  assert.match(await logOf(response.headers.get('hearth-invocation-id') as string), /half way/);
});
