/** Deploying over a function that is under load. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway } from '../testing/gateway.ts';

const version = (n: number) => `export default { async fetch(request) {
  if (request.method === 'POST') return new Response(String((await request.text()).length));
  await new Promise((resolve) => setTimeout(resolve, 5));
  return new Response('${n}');
} };`;

test('ten versions one after another under load: no request fails, and each version serves once it was answered', async () => {
  await using gateway = await startGateway({ env: { HEARTH_WARM_BASES: '4' } });
  await gateway.deploy('shop', version(0));
  let done = false;
  const seen: string[] = [];
  const caller = async (n: number) => {
    while (!done) {
      const upload = n === 0;
      const response = await fetch(`${gateway.url}/shop`, upload ? { method: 'POST', body: 'x'.repeat(300_000) } : {});
      const text = await response.text();
      assert.equal(response.status, 200, text);
      if (upload) assert.equal(text, '300000');
      else seen.push(text);
    }
  };
  const callers = Array.from({ length: 6 }, (_, n) => caller(n));
  for (let n = 1; n <= 10; n++) {
    const { version: id } = await gateway.deploy('shop', version(n));
    const response = await fetch(`${gateway.url}/shop`);
    assert.equal(await response.text(), String(n), 'the new version serves once the deploy was answered');
    assert.equal(response.headers.get('hearth-version'), id);
    assert.equal(response.headers.get('hearth-start'), 'warm', 'the base that proved it is its first instance');
  }
  done = true;
  await Promise.all(callers);
  assert.ok(new Set(seen).size >= 8, `versions seen under load: ${[...new Set(seen)].join(' ')}`);
});

test('a stream that began on the old version goes on to its end after the new one has taken over', async () => {
  await using gateway = await startGateway();
  await gateway.deploy(
    'feed',
    `let release; const gate = new Promise((resolve) => { release = resolve; });
     export default { fetch(request) {
       if (request.url.endsWith('/release')) { release(); return new Response('released'); }
       return new Response(new ReadableStream({ async start(c) {
         c.enqueue(new TextEncoder().encode('first '));
         await new Promise((resolve) => setTimeout(resolve, 500));
         c.enqueue(new TextEncoder().encode('last'));
         c.close();
       } }));
     } };`,
  );
  const response = await fetch(`${gateway.url}/feed`);
  const reader = response.body?.getReader();
  assert.equal(new TextDecoder().decode((await reader?.read())?.value), 'first ');
  await gateway.deploy('feed', 'export default { fetch: () => new Response("new") }');
  assert.equal(await (await fetch(`${gateway.url}/feed`)).text(), 'new');
  assert.equal(new TextDecoder().decode((await reader?.read())?.value), 'last');
  assert.equal((await reader?.read())?.done, true);
});

test('a deploy that does not build or does not load leaves the running version alone', async () => {
  await using gateway = await startGateway();
  const { version: good } = await gateway.deploy('shop', version(1));
  const syntax = await gateway.api<{ code: string; errors: object[] }>(
    'PUT',
    '/v1/functions/shop',
    'export default {\n  fetch() { return 1 +; }\n};',
    {
      'content-type': 'text/typescript',
    },
  );
  assert.equal(syntax.status, 422);
  assert.equal(syntax.body.code, 'BUILD_FAILED');
  assert.deepEqual(
    syntax.body.errors.map((error) => ({ ...error, message: '' })),
    [{ message: '', file: 'index.ts', line: 2, column: 23 }],
  );
  const throws = await gateway.api<{ code: string; detail: string; errors?: object[] }>(
    'PUT',
    '/v1/functions/shop',
    'const limit: number = 1;\nthrow new Error("no config");\nexport default {};',
    { 'content-type': 'text/typescript' },
  );
  assert.equal(throws.status, 422);
  assert.equal(throws.body.code, 'PROBE_FAILED');
  assert.match(throws.body.detail, /no config/);
  assert.deepEqual(
    throws.body.errors?.map((error) => ({ ...error, message: '' })),
    [{ message: '', file: 'index.ts', line: 2, column: 7 }],
  );
  const response = await fetch(`${gateway.url}/shop`);
  assert.equal(response.headers.get('hearth-version'), good);
});
