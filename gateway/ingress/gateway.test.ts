import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { build } from 'esbuild';
import { WebSocket } from 'ws';
import { startGateway, type TestGateway } from '../testing/gateway.ts';

/** The whole way: client, gateway process, host process, base, function. */
describe('through a real gateway', () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startGateway();
  });
  after(() => gateway[Symbol.asyncDispose]());

  it('bodies stream both ways at once', async () => {
    await gateway.deploy(
      'echo',
      `export default { fetch: (request: Request) => new Response(request.body!.pipeThrough(new TransformStream({
        transform(chunk, controller) { controller.enqueue(chunk) } })), { headers: { 'x-type': request.headers.get('content-type') ?? '' } }) }`,
    );
    const req = request(`${gateway.url}/echo`, { method: 'POST', headers: { 'content-type': 'text/x' }, agent: false });
    req.write('one');
    const [res] = await once(req, 'response');
    assert.equal(res.headers['x-type'], 'text/x');
    assert.equal(String((await once(res, 'data'))[0]), 'one');
    req.write('two');
    assert.equal(String((await once(res, 'data'))[0]), 'two');
    req.end();
    await once(res, 'end');

    const bytes = Buffer.alloc(5_000_000, 'abcdefg');
    const large = await fetch(`${gateway.url}/echo`, { method: 'POST', body: bytes });
    assert.ok(Buffer.from(await large.arrayBuffer()).equals(bytes));
  });

  it('server-sent events arrive one by one, and a client that goes away aborts the signal', async () => {
    await gateway.deploy(
      'events',
      `let aborted = 0; let go: (() => void) | null = null;
      export default { fetch(request: Request, env: unknown, ctx: { signal: AbortSignal }) {
        const { pathname } = new URL(request.url);
        if (pathname === '/aborted') return new Response(String(aborted));
        if (pathname === '/go') { go?.(); return new Response('went') }
        ctx.signal.addEventListener('abort', () => { aborted++ });
        const encoder = new TextEncoder();
        return new Response(new ReadableStream({ start(controller) {
          controller.enqueue(encoder.encode('data: 1\\n\\n'));
          go = () => controller.enqueue(encoder.encode('data: 2\\n\\n'));
        } }), { headers: { 'content-type': 'text/event-stream' } });
      } }`,
    );
    const controller = new AbortController();
    const response = await fetch(`${gateway.url}/events`, { signal: controller.signal });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    assert.equal((await reader.read()).value, 'data: 1\n\n');
    assert.equal(await (await fetch(`${gateway.url}/events/go`)).text(), 'went');
    assert.equal((await reader.read()).value, 'data: 2\n\n');
    controller.abort();
    for (let aborted = '0'; aborted !== '1'; ) aborted = await (await fetch(`${gateway.url}/events/aborted`)).text();
  });

  it('a WebSocket echoes text, bytes and large messages, and closes with a code', async () => {
    await gateway.deploy(
      'socket',
      `declare const WebSocketPair: new () => Record<0 | 1, any>;
      export default { fetch(request: Request) {
        if (request.headers.get('upgrade') !== 'websocket') return new Response('expected a WebSocket', { status: 426 });
        const [client, server] = Object.values(new WebSocketPair());
        server.accept();
        server.addEventListener('message', (event: any) => event.data === 'bye' ? server.close(4000, 'you said bye') : server.send(event.data));
        return new Response(null, { status: 101, webSocket: client } as ResponseInit);
      } }`,
    );
    assert.equal((await fetch(`${gateway.url}/socket`)).status, 426);
    const client = new WebSocket(`${gateway.url.replace('http', 'ws')}/socket`);
    const [upgrade] = await once(client, 'upgrade');
    assert.ok(upgrade.headers['hearth-invocation-id']);
    if (client.readyState !== WebSocket.OPEN) await once(client, 'open');
    for (const message of ['hello', 'é'.repeat(1_000_000)]) {
      client.send(message);
      assert.equal(String((await once(client, 'message'))[0]), message);
    }
    client.send(Buffer.of(1, 2, 255));
    const [data, isBinary] = await once(client, 'message');
    assert.deepEqual([data, isBinary], [Buffer.of(1, 2, 255), true]);
    client.send('bye');
    const [code, reason] = await once(client, 'close');
    assert.deepEqual([code, String(reason)], [4000, 'you said bye']);
  });

  it('a function is reached by path and by host name, with phases that are there', async () => {
    await gateway.deploy(
      'where',
      `export default { fetch: (request: Request) => new Response(request.url + ' ' + request.headers.get('x-forwarded-prefix')) }`,
    );
    const byPath = await fetch(`${gateway.url}/where/a?b`);
    assert.equal(await byPath.text(), `${gateway.url}/a?b /where`);
    assert.match(byPath.headers.get('server-timing')!, /^wait;dur=[\d.]+, run;dur=[\d.]+$/);
    assert.equal(byPath.headers.get('hearth-start'), 'warm');
    const req = request(`${gateway.url}/a?b`, { headers: { host: 'where.localhost' }, agent: false }).end();
    const [byHost] = await once(req, 'response');
    assert.equal(await text(byHost), 'http://where.localhost/a?b null');
    await gateway.api('POST', '/v1/functions/where/evict');
    const cold = await fetch(`${gateway.url}/where`);
    assert.equal(cold.headers.get('hearth-start'), 'cold');
    assert.match(
      cold.headers.get('server-timing')!,
      /^wait;.*acquire;.*transfer;.*compile;.*evaluate;.*run;dur=[\d.]+$/,
    );
  });

  it('an Express application runs as it is', async () => {
    const bundled = await build({
      stdin: {
        contents: `import express from 'express'; const app = express(); app.use(express.json());
          app.post('/sum', (req, res) => res.json({ sum: req.body.reduce((a, b) => a + b, 0), url: req.originalUrl }));
          app.listen(process.env.PORT ?? 3000);`,
        resolveDir: import.meta.dirname,
      },
      bundle: true,
      write: false,
      platform: 'node',
      format: 'cjs',
      logLevel: 'silent',
    });
    await gateway.deploy('app', { 'hearth.jsonc': '{ "main": "index.js" }', 'index.js': bundled.outputFiles[0]!.text });
    const response = await fetch(`${gateway.url}/app/sum`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '[1, 2, 3]',
    });
    assert.deepEqual(await response.json(), { sum: 6, url: '/sum' });
    assert.equal(response.headers.get('x-powered-by'), 'Express');
  });

  it('a function that throws is a 500 for its caller without its stack', async () => {
    await gateway.deploy('broken', `export default { fetch() { throw new Error('kaputt') } }`);
    const response = await fetch(`${gateway.url}/broken`);
    assert.equal(response.status, 500);
    const body = await response.text();
    assert.equal(JSON.parse(body).code, 'FUNCTION_EXCEPTION');
    assert.doesNotMatch(body, /at fetch|\.js:/);
  });
});
