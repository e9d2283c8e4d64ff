/** What shows each row of compatibility.ts: a function, and what it answers; or a deploy, and how it is refused. */
import { UNSUPPORTED_FEATURES } from '../../../functions/contract/manifest-keys.ts';

export interface CaseRequest {
  method?: string;
  headers?: Record<string, string>;
}

export interface Case {
  /** The body of `async fetch(request, env, ctx)`; what it returns is answered as JSON. */
  run?: string;
  /** Beside it in its file: imports, other exports. */
  beside?: string;
  /** Instead of both: the tree, whose main is index.ts. */
  files?: Record<string, string | Uint8Array>;
  manifest?: Record<string, unknown>;
  secrets?: Record<string, string>;
  /** What is asked for (default: `/`), and what comes of it. */
  asks?: [path: string, answer: unknown, init?: CaseRequest][];
  /** Of `run`, or of the only answer. */
  gives?: unknown;
  /** The deploy is refused, with this in its detail. */
  refused?: RegExp;
  /** Tried by the test's own code, since it takes more than a request. */
  special?: true;
}

const refused: Record<string, Case> = Object.fromEntries(
  Object.keys(UNSUPPORTED_FEATURES).map((key) => [
    `refused:${key}`,
    { run: 'return 1', manifest: { [key]: {} }, refused: new RegExp(`"${key}"`) },
  ]),
);

const WASM = Uint8Array.from(
  // (module (func (export "answer") (result i32) i32.const 42))
  [
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 127, 3, 2, 1, 0, 7, 10, 1, 6, 97, 110, 115, 119, 101, 114, 0, 0, 10,
    6, 1, 4, 0, 65, 42, 11,
  ],
);

const ENTRYPOINTS = `import { WorkerEntrypoint } from 'cloudflare:workers';
export class Greeter extends WorkerEntrypoint {
  greet(word) { return word + ' ' + (this.ctx.props.who ?? 'nobody'); }
  async fetch(request) { return new Response(new URL(request.url).pathname + ' ' + JSON.stringify(this.ctx.props)); }
}`;

export const CASES: Record<string, Case> = {
  ...refused,
  fetch: { run: 'return request.method', gives: 'GET' },
  scheduled: { special: true },
  queue: { special: true },
  entrypoint: {
    files: {
      'index.ts': `import { WorkerEntrypoint } from 'cloudflare:workers';
        export default class extends WorkerEntrypoint { async fetch() { return Response.json(this.env.WORD); } }`,
    },
    manifest: { vars: { WORD: 'class' } },
    gives: 'class',
  },
  'service-worker': {
    files: { 'index.ts': `addEventListener('fetch', (event: any) => event.respondWith(new Response('old')));` },
    refused: /addEventListener/,
  },
  'wait-until': {
    run: `const { promise, resolve } = Promise.withResolvers();
      ctx.waitUntil(env.KV.put('later', 'done').then(resolve)); await promise; return await env.KV.get('later')`,
    manifest: { kv_namespaces: [{ binding: 'KV', id: 'compat' }] },
    gives: 'done',
  },
  'pass-through': { run: 'ctx.passThroughOnException(); return 1', gives: 1 },
  props: {
    beside: ENTRYPOINTS,
    run: `return await env.SELF.greet('hi')`,
    manifest: { services: [{ binding: 'SELF', service: 'props', entrypoint: 'Greeter', props: { who: 'props' } }] },
    gives: 'hi props',
  },
  'ctx-exports': {
    beside: ENTRYPOINTS,
    run: `const other = ctx.exports.Greeter({ props: { who: 'loopback' } });
      return [await ctx.exports.Greeter.greet('hi'), await other.greet('hi'), await (await other.fetch('http://x/path')).text()]`,
    gives: ['hi nobody', 'hi loopback', '/path {"who":"loopback"}'],
  },
  'cloudflare-workers': {
    beside: `import { WorkerEntrypoint, RpcTarget, env as shared, exports, waitUntil, withEnv } from 'cloudflare:workers';
      export class Named extends WorkerEntrypoint { name() { return 'named'; } }
      class Target extends RpcTarget {}
      const later = async () => { await null; return shared.WORD; };`,
    run: `waitUntil(Promise.resolve());
      return [shared.WORD, await exports.Named.name(), new Target() instanceof RpcTarget, await withEnv({ WORD: 'other' }, later), await later()]`,
    manifest: { vars: { WORD: 'own' } },
    gives: ['own', 'named', true, 'other', 'own'],
  },
  'durable-object-class': {
    beside: `import { DurableObject } from 'cloudflare:workers'; export class Room extends DurableObject {}`,
    run: 'return 1',
    refused: /"DurableObject" of cloudflare:workers is part of Workers that Hearth does not do/,
  },
  'http-server-handler': {
    files: {
      'index.ts': `import { createServer } from 'node:http'; import { httpServerHandler } from 'cloudflare:node';
        createServer((_request, response) => response.end('"server"')).listen(8080);
        export default httpServerHandler({ port: 8080 });`,
    },
    gives: 'server',
  },
  sockets: {
    beside: `import { connect } from 'cloudflare:sockets';`,
    run: 'return typeof connect',
    refused: /"cloudflare:sockets" is part of Workers that Hearth does not do/,
  },
  'text-import': {
    files: {
      'index.ts': `import a from './a.txt'; import b from './b.html'; import c from './c.sql';
        export default { fetch: () => Response.json([a, b, c]) };`,
      'a.txt': 'text',
      'b.html': '<p>',
      'c.sql': 'select 1',
    },
    gives: ['text', '<p>', 'select 1'],
  },
  'data-import': {
    files: {
      'index.ts': `import data from './a.bin';
        export default { fetch: () => Response.json([data instanceof ArrayBuffer, [...new Uint8Array(data)]]) };`,
      'a.bin': '\u0001\u0002',
    },
    gives: [true, [1, 2]],
  },
  'wasm-import': {
    files: {
      'index.ts': `import module from './a.wasm';
        export default { fetch: () => Response.json([module instanceof WebAssembly.Module, new WebAssembly.Instance(module).exports.answer()]) };`,
      'a.wasm': WASM,
    },
    gives: [true, 42],
  },
  rules: {
    files: {
      'index.ts': `import text from './notes/a.md'; import data from './b.dat'; import module from './c.binary'; import { d } from './d.es';
        export default { fetch: () => Response.json([text, data.byteLength, new WebAssembly.Instance(module).exports.answer(), d]) };`,
      'notes/a.md': '# note',
      'b.dat': 'xyz',
      'c.binary': WASM,
      'd.es': 'export const d = 4;',
    },
    manifest: {
      rules: [
        { type: 'Text', globs: ['**/*.md'], fallthrough: true },
        { type: 'Data', globs: ['*.dat'] },
        { type: 'CompiledWasm', globs: ['**/*.binary'] },
        { type: 'ESModule', globs: ['**/*.es'] },
      ],
    },
    gives: ['# note', 3, 42, 4],
  },
  'node-modules': {
    beside: `import { Buffer } from 'node:buffer'; import { createHash } from 'node:crypto'; import { basename } from 'node:path';
      import { EventEmitter } from 'node:events'; import { promisify } from 'node:util'; import assert from 'node:assert';`,
    run: `assert.equal(typeof promisify, 'function');
      return [Buffer.from('hi').toString('base64'), createHash('md5').update('').digest('hex'), basename('/a/b'), new EventEmitter().listenerCount('x')]`,
    manifest: { compatibility_flags: ['nodejs_compat'], compatibility_date: '2026-11-01' },
    gives: ['aGk=', 'd41d8cd98f00b204e9800998ecf8427e', 'b', 0],
  },
  vars: {
    run: 'return [env.WORD, env.LIST, process.env.WORD]',
    manifest: { vars: { WORD: 'word', LIST: [1, { a: 2 }] } },
    gives: ['word', [1, { a: 2 }], 'word'],
  },
  secrets: { run: 'return env.KEY', secrets: { KEY: 'hidden' }, gives: 'hidden' },
  kv: {
    run: `await env.KV.put('a', '{"b":1}', { metadata: { m: 1 }, expirationTtl: 3600 });
      const { value, metadata } = await env.KV.getWithMetadata('a', 'json');
      const { keys, list_complete } = await env.KV.list({ prefix: 'a' });
      await env.KV.delete('a');
      return [value, metadata, keys.length, list_complete, await env.KV.get('a')]`,
    manifest: { kv_namespaces: [{ binding: 'KV', id: 'compat-kv' }] },
    gives: [{ b: 1 }, { m: 1 }, 1, true, null],
  },
  'queue-producer': {
    run: `await env.OUT.send({ a: 1 }, { delaySeconds: 1 }); await env.OUT.sendBatch([{ body: 'b', contentType: 'text' }]); return 'sent'`,
    manifest: { queues: { producers: [{ binding: 'OUT', queue: 'compat-out' }] } },
    gives: 'sent',
  },
  service: {
    beside: ENTRYPOINTS,
    run: `return [await env.SELF.greet('hi'), await (await env.SELF.fetch('http://x/p')).text()]`,
    manifest: { services: [{ binding: 'SELF', service: 'service', entrypoint: 'Greeter', props: { who: 'bound' } }] },
    gives: ['hi bound', '/p {"who":"bound"}'],
  },
  r2: {
    run: `await env.FILES.put('a', 'file'); const got = await env.FILES.get('a'); const { objects } = await env.FILES.list();
      return [await got.text(), objects.length, (await env.FILES.head('a')).size]`,
    manifest: { r2_buckets: [{ binding: 'FILES', bucket_name: 'compat' }] },
    gives: ['file', 1, 4],
  },
  'rate-limit': {
    run: `const first = await env.LIMIT.limit({ key: 'a' }); const second = await env.LIMIT.limit({ key: 'a' });
      return [first.success, second.success]`,
    manifest: { ratelimits: [{ name: 'LIMIT', namespace_id: '1', simple: { limit: 1, period: 60 } }] },
    gives: [true, false],
  },
  'version-metadata': {
    run: `const { id, tag, timestamp } = env.VERSION; return [id.length, tag, new Date(timestamp).toISOString() === timestamp]`,
    manifest: { version_metadata: { binding: 'VERSION' }, hearth: { label: '1.2.0' } },
    gives: [24, '1.2.0', true],
  },
  'assets-binding': {
    files: {
      'index.ts': `export default { async fetch(request, env) {
        const found = await env.ASSETS.fetch(new URL('/page', request.url)); const none = await env.ASSETS.fetch('http://x/none');
        return Response.json([found.status, found.headers.get('content-type'), await found.text(), none.status]); } };`,
      'public/page.html': '<p>page',
    },
    manifest: { main: 'index.ts', assets: { directory: './public', binding: 'ASSETS', run_worker_first: true } },
    gives: [200, 'text/html; charset=utf-8', '<p>page', 404],
  },
  'assets-only': {
    files: { 'public/index.html': 'home', 'public/a.js': 'a' },
    manifest: { assets: { directory: 'public' } },
    asks: [
      ['/', 'home'],
      ['/a.js', 'a'],
      ['/none', 404],
      ['/a.js', 405, { method: 'POST' }],
    ],
  },
  'assets-html': {
    files: { 'public/index.html': 'home', 'public/a.html': 'a', 'public/b/index.html': 'b' },
    manifest: { assets: { directory: 'public', html_handling: 'auto-trailing-slash' } },
    asks: [
      ['/a', 'a'],
      ['/a.html?q=1', '/assets-html/a?q=1'],
      ['/b', '/assets-html/b/'],
      ['/b/', 'b'],
      ['', '/assets-html/'],
    ],
  },
  'assets-not-found': {
    files: {
      'index.ts': `export default { fetch: () => new Response('function') }`,
      'public/index.html': 'app',
      'public/x.txt': 'x',
    },
    manifest: { main: 'index.ts', assets: { directory: 'public', not_found_handling: 'single-page-application' } },
    asks: [
      ['/deep/link', 'app', { headers: { 'sec-fetch-mode': 'navigate' } }],
      ['/deep/link', 'function'],
      ['/x.txt', 'x'],
    ],
  },
  'assets-worker-first': {
    files: {
      'index.ts': `export default { fetch: () => new Response('function') }`,
      'public/api/doc.txt': 'doc',
      'public/api/x.txt': 'x',
      'public/y.txt': 'y',
    },
    manifest: { main: 'index.ts', assets: { directory: 'public', run_worker_first: ['/api/*', '!/api/doc*'] } },
    asks: [
      ['/api/x.txt', 'function'],
      ['/api/doc.txt', 'doc'],
      ['/y.txt', 'y'],
    ],
  },
  'assets-etag': { special: true },
  'assets-headers': {
    files: { 'public/index.html': 'home', 'public/_headers': '/*\n  x-a: b' },
    manifest: { assets: { directory: 'public' } },
    refused: /_headers/,
  },
  'web-classes': {
    run: `const form = new FormData(); form.set('file', new File(['abc'], 'a.txt')); const back = await new Response(form).formData();
      const match = new URLPattern({ pathname: '/u/:id' }).exec('http://x/u/7');
      return [back.get('file').name, match.pathname.groups.id, new Headers([['a', '1'], ['a', '2']]).get('a'), await new Request('http://x', { method: 'POST', body: 'b' }).text(), await (await fetch('data:text/plain,hi')).text(), new Blob(['xy']).size]`,
    gives: ['a.txt', '7', '1, 2', 'b', 'hi', 2],
  },
  'response-json': {
    run: `return [await Response.json({ a: 1 }).json(), Response.redirect('http://x/').status, Response.json(1).headers.get('content-type')]`,
    gives: [{ a: 1 }, 302, 'application/json'],
  },
  'request-cf': { run: `return [typeof request.cf, request.cf.country ?? null]`, gives: ['object', null] },
  streams: {
    run: `const zipped = new Blob(['hello']).stream().pipeThrough(new CompressionStream('gzip')).pipeThrough(new DecompressionStream('gzip'));
      const { readable, writable } = new TransformStream(); const writer = writable.getWriter(); writer.write('a'); writer.close();
      return [await new Response(zipped).text(), await new Response(readable.pipeThrough(new TextEncoderStream())).text()]`,
    gives: ['hello', 'a'],
  },
  'identity-stream': {
    run: `const { readable, writable } = new IdentityTransformStream(); const writer = writable.getWriter();
      writer.write(new TextEncoder().encode('same')); writer.close(); return await new Response(readable).text()`,
    gives: 'same',
  },
  'fixed-length-stream': {
    run: `const send = async (text) => { const { readable, writable } = new FixedLengthStream(4); const writer = writable.getWriter();
        const written = writer.write(new TextEncoder().encode(text)).then(() => writer.close()).catch((error) => error.name);
        const read = await new Response(readable).text().catch(() => null); return [read, (await written) ?? null]; };
      return [await send('four'), await send('fives')]`,
    gives: [
      ['four', null],
      [null, 'TypeError'],
    ],
  },
  'web-crypto': {
    run: `const digest = await crypto.subtle.digest('SHA-256', new Uint8Array());
      return [new Uint8Array(digest)[0], crypto.randomUUID().length, crypto.getRandomValues(new Uint8Array(3)).length]`,
    gives: [227, 36, 3],
  },
  'timing-safe-equal': {
    run: `const of = (text) => new TextEncoder().encode(text); let wrong;
      try { crypto.subtle.timingSafeEqual(of('a'), of('ab')); } catch (error) { wrong = error.name; }
      return [crypto.subtle.timingSafeEqual(of('a'), of('a')), crypto.subtle.timingSafeEqual(of('a'), of('b').buffer), wrong]`,
    gives: [true, false, 'TypeError'],
  },
  'digest-stream': {
    run: `const stream = new crypto.DigestStream('MD5'); const writer = stream.getWriter(); writer.write('a'); writer.close();
      return [Buffer.from(await stream.digest).toString('hex'), Number(stream.bytesWritten)]`,
    gives: ['0cc175b9c0f1b6a831c399e269772661', 1],
  },
  'websocket-pair': { special: true },
  'websocket-client': {
    run: `return [typeof WebSocket, new WebSocket('ws://127.0.0.1:9').readyState]`,
    gives: ['function', 0],
  },
  'scheduler-wait': { run: `await scheduler.wait(1); return 'waited'`, gives: 'waited' },
  timers: {
    run: `await new Promise((resolve) => setTimeout(resolve, 1)); await new Promise(queueMicrotask);
      return [structuredClone({ a: new Date(0) }).a.getTime(), performance.now() > 0, AbortSignal.timeout(1000).aborted]`,
    gives: [0, true, false],
  },
  'async-local-storage': {
    beside: `import { AsyncLocalStorage } from 'node:async_hooks'; const storage = new AsyncLocalStorage();`,
    run: `return await storage.run('kept', async () => { await null; return storage.getStore(); })`,
    gives: 'kept',
  },
  'web-assembly': {
    run: `const { instance } = await WebAssembly.instantiate(Uint8Array.from([${[...WASM].join(',')}])); return instance.exports.answer()`,
    gives: 42,
  },
  caches: {
    run: `const cache = caches.default; await cache.put('http://x/', new Response('kept'));
      const refused = await cache.put(new Request('http://x/', { method: 'POST' }), new Response()).catch((error) => error.name);
      return [(await cache.match('http://x/')) ?? null, await cache.delete('http://x/'), refused, typeof (await caches.open('mine')).match]`,
    gives: [null, false, 'TypeError', 'function'],
  },
  'user-agent': { run: `return navigator.userAgent.startsWith('Node.js')`, gives: true },
  'html-rewriter': { run: `return typeof HTMLRewriter`, gives: 'undefined' },
  'event-source': { run: `return typeof EventSource`, gives: 'undefined' },
  'wrangler-files': { special: true },
  routes: { special: true },
  'cpu-limit': { run: 'return 1', manifest: { limits: { cpu_ms: 5000 } }, gives: 1 },
  'build-keys': {
    run: 'return 1',
    manifest: { alias: { a: './b' } },
    refused: /"alias" is a setting of wrangler's bundler/,
  },
};
