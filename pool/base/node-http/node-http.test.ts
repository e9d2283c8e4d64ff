import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { build } from 'esbuild';
import type { HeaderList } from '../../../functions/contract/invocation.ts';
import { type Answer, type Call, TestBase } from '../testing/harness.ts';

/** As the builder would: everything the application imports in one CommonJS file. */
async function bundle(source: string): Promise<string> {
  const result = await build({
    stdin: { contents: source, resolveDir: import.meta.dirname, loader: 'ts' },
    bundle: true,
    write: false,
    platform: 'node',
    target: 'node26',
    format: 'cjs',
    logLevel: 'silent',
    supported: { 'dynamic-import': false },
  });
  return result.outputFiles[0]!.text;
}

function headerOf(answer: Answer<{ headers: HeaderList }>, name: string): string | string[] | undefined {
  const values = answer.head.headers.filter(([key]) => key === name).map(([, value]) => value);
  return values.length > 1 ? values : values[0];
}

const json = (value: unknown) => {
  const body = JSON.stringify(value);
  const headers: HeaderList = [
    ['content-type', 'application/json'],
    ['content-length', String(Buffer.byteLength(body))],
  ];
  return [{ method: 'POST', headers }, body] as const;
};

const APPS: Record<string, string> = {
  express: `
    import express from 'express';
    import { readFileSync } from 'node:fs';
    const app = express();
    app.use(express.json());
    app.use(express.urlencoded({ extended: false }));
    app.use('/static', express.static(__dirname + '/public'));
    app.get('/users/:id', (req, res) => res.set('x-seen', 'yes').json({ id: req.params.id, q: req.query.q, ip: req.ip, host: req.hostname }));
    app.post('/echo', (req, res) => res.status(201).json(req.body));
    app.get('/cookies', (req, res) => res.cookie('a', '1').cookie('b', '2', { httpOnly: true }).send(req.headers.cookie ?? ''));
    app.get('/broken', () => { throw new Error('kaputt'); });
    app.get('/rejected', async () => { throw Object.assign(new Error('not you'), { status: 403, expose: true }); });
    app.get('/stream', (req, res) => { res.write('one '); setImmediate(() => { res.write('two '); res.end('three'); }); });
    app.get('/redirect', (req, res) => res.redirect('/users/1'));
    app.get('/none', (req, res) => res.status(204).end());
    app.listen(3000, () => console.log('express listens'));
  `,
  fastify: `
    import Fastify from 'fastify';
    const app = Fastify({ logger: false });
    app.get('/users/:id', async (req, reply) => { reply.header('x-seen', 'yes'); return { id: req.params.id, q: req.query.q, ip: req.ip, host: req.hostname }; });
    app.post('/echo', async (req, reply) => { reply.code(201); return req.body; });
    app.get('/cookies', async (req, reply) => { reply.header('set-cookie', ['a=1; Path=/', 'b=2; Path=/; HttpOnly']); return req.headers.cookie ?? ''; });
    app.get('/broken', async () => { throw new Error('kaputt'); });
    app.get('/rejected', async () => { throw Object.assign(new Error('not you'), { statusCode: 403 }); });
    app.get('/stream', (req, reply) => { const { Readable } = require('node:stream'); reply.type('text/plain').send(Readable.from(['one ', 'two ', 'three'])); });
    app.get('/redirect', (req, reply) => reply.redirect('/users/1'));
    app.get('/none', (req, reply) => { reply.code(204).send(); });
    app.listen({ port: 3000, host: '0.0.0.0' }).then((address) => console.log('fastify listens at ' + address));
  `,
  koa: `
    import Koa from 'koa';
    const app = new Koa();
    app.silent = true;
    app.use(async (ctx) => {
      const { path } = ctx;
      if (path.startsWith('/users/')) { ctx.set('x-seen', 'yes'); ctx.body = { id: path.slice(7), q: ctx.query.q, ip: ctx.ip, host: ctx.hostname }; }
      else if (path === '/echo') { let text = ''; for await (const chunk of ctx.req) text += chunk; ctx.status = 201; ctx.body = JSON.parse(text); }
      else if (path === '/cookies') { ctx.cookies.set('a', '1', { httpOnly: false }); ctx.cookies.set('b', '2'); ctx.body = ctx.headers.cookie ?? ''; }
      else if (path === '/broken') throw new Error('kaputt');
      else if (path === '/rejected') ctx.throw(403, 'not you');
      else if (path === '/stream') { const { Readable } = require('node:stream'); ctx.type = 'text'; ctx.body = Readable.from(['one ', 'two ', 'three']); }
      else if (path === '/redirect') ctx.redirect('/users/1');
      else if (path === '/none') ctx.status = 204;
    });
    app.listen(3000);
  `,
  http: `
    import http from 'node:http';
    http.createServer((req, res) => {
      const url = new URL(req.url, 'http://' + req.headers.host);
      if (url.pathname.startsWith('/users/')) {
        res.setHeader('X-Seen', 'yes');
        res.writeHead(200, { 'Content-Type': 'application/json' });
        res.end(JSON.stringify({ id: url.pathname.slice(7), q: url.searchParams.get('q'), ip: req.socket.remoteAddress, host: url.hostname }));
      } else if (url.pathname === '/echo') {
        res.writeHead(201);
        req.pipe(res);
      } else if (url.pathname === '/cookies') {
        res.writeHead(200, ['Set-Cookie', 'a=1; Path=/', 'Set-Cookie', 'b=2; Path=/; HttpOnly']);
        res.end(req.headers.cookie);
      } else if (url.pathname === '/broken') { res.statusCode = 500; res.end(); }
      else if (url.pathname === '/rejected') { res.statusCode = 403; res.end('not you'); }
      else if (url.pathname === '/stream') { res.write('one '); setTimeout(() => { res.write('two '); res.end('three'); }, 1); }
      else if (url.pathname === '/redirect') res.writeHead(302, { location: '/users/1' }).end();
      else if (url.pathname === '/none') res.writeHead(204).end();
      else { res.statusCode = 404; res.end('nothing'); }
    }).listen(3000);
  `,
};

describe('unmodified Node applications', () => {
  for (const [name, source] of Object.entries(APPS)) {
    describe(name, () => {
      let base: TestBase;
      before(async () => {
        base = await TestBase.start();
        const files = join(base.filesDir, 'public');
        await mkdir(files);
        await writeFile(join(files, 'page.html'), '<h1>static</h1>');
        await writeFile(join(files, 'big.bin'), Buffer.alloc(700_000, 7));
        const loaded = await base.load(await bundle(source), { filesDir: base.filesDir });
        assert.ok(loaded.head.handlers.includes('node-http'));
      });
      after(() => base[Symbol.asyncDispose]());

      it('routes, and sees the request as it came', async () => {
        const answer = await base.http('/users/7?q=a%20b', { remoteAddress: '10.1.2.3' }).whole();
        assert.equal(answer.head.status, 200);
        assert.deepEqual(JSON.parse(answer.text), { id: '7', q: 'a b', ip: '10.1.2.3', host: 'shop.localhost' });
        assert.equal(headerOf(answer, 'x-seen'), 'yes');
        assert.match(String(headerOf(answer, 'content-type')), /^application\/json/);
        assert.equal(answer.head.statusText, '');
        assert.equal(answer.head.webSocket, false);
      });

      it('reads a JSON body, with a length and in chunks', async () => {
        const [head, body] = json({ a: [1, 'é'] });
        const answer = await base.http('/echo', head, body).whole();
        assert.deepEqual([answer.head.status, JSON.parse(answer.text)], [201, { a: [1, 'é'] }]);

        const call = base.http(
          '/echo',
          { method: 'POST', headers: [['content-type', 'application/json']] },
          null,
          false,
        );
        // The second half is sent when the first has been taken in, so that it is a chunk of its own.
        const bytes = Buffer.from(body);
        call.exchange.write(bytes.subarray(0, 5));
        await base.http('/none').whole();
        call.exchange.write(bytes.subarray(5));
        call.exchange.end();
        const chunked = await call.whole();
        assert.deepEqual([chunked.head.status, JSON.parse(chunked.text)], [201, { a: [1, 'é'] }]);
      });

      it('sets cookies and reads them', async () => {
        const answer = await base.http('/cookies', { headers: [['cookie', 'x=1; y=2']] }).whole();
        assert.equal(answer.text, 'x=1; y=2');
        const cookies = headerOf(answer, 'set-cookie') as string[];
        assert.deepEqual(
          cookies.map((cookie) => cookie.toLowerCase()),
          ['a=1; path=/', 'b=2; path=/; httponly'],
        );
      });

      it('answers errors by itself', async () => {
        assert.equal((await base.http('/broken').whole()).head.status, 500);
        const rejected = await base.http('/rejected').whole();
        assert.equal(rejected.head.status, 403);
        assert.match(rejected.text, /not you/);
        assert.equal((await base.http('/nowhere').whole()).head.status, 404);
      });

      it('streams, redirects, answers HEAD and 204', async () => {
        assert.equal((await base.http('/stream').whole()).text, 'one two three');
        const redirect = await base.http('/redirect').whole();
        assert.deepEqual([redirect.head.status, headerOf(redirect, 'location')], [302, '/users/1']);
        const none = await base.http('/none').whole();
        assert.deepEqual([none.head.status, none.text], [204, '']);
      });

      it('serves many requests at once, each with its own answer', async () => {
        const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => base.http(`/users/${i}`).whole()));
        assert.deepEqual(
          answers.map((answer) => JSON.parse(answer.text).id),
          answers.map((_, i) => String(i)),
        );
      });

      if (name === 'express') {
        it('serves static files, whole, in part and not at all', async () => {
          const page = await base.http('/static/page.html').whole();
          assert.deepEqual([page.head.status, page.text], [200, '<h1>static</h1>']);
          assert.match(String(headerOf(page, 'content-type')), /^text\/html/);
          const big = await base.http('/static/big.bin').whole();
          assert.equal(big.body.byteLength, 700_000);
          const part = await base.http('/static/big.bin', { headers: [['range', 'bytes=10-19']] }).whole();
          assert.deepEqual([part.head.status, part.body.byteLength], [206, 10]);
          const head = await base.http('/static/page.html', { method: 'HEAD' }).whole();
          assert.deepEqual([head.head.status, head.text, headerOf(head, 'content-length')], [200, '', '15']);
          const etag = String(headerOf(page, 'etag'));
          assert.equal(
            (await base.http('/static/page.html', { headers: [['if-none-match', etag]] }).whole()).head.status,
            304,
          );
          assert.equal((await base.http('/static/../secret', {}).whole()).head.status, 404);
        });
      }
    });
  }
});

describe('an application on a shared library', () => {
  it('has its server captured though the base loaded node:http before', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'hearth-shared-'));
    try {
      const path = join(dir, 'express.cjs');
      await writeFile(path, await bundle(`module.exports = require('express')`));
      await using base = await TestBase.start({ shared: [{ specifier: 'express', path }] });
      const code = `const app = require('express')(); app.get('/', (req, res) => res.send('shared')); app.listen(3000)`;
      const loaded = await base.load(code);
      assert.deepEqual(loaded.head.handlers, ['node-http']);
      assert.equal((await base.http('/').whole()).text, 'shared');
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});

describe('a captured server', () => {
  let base: TestBase;
  before(async () => {
    base = await TestBase.start();
  });
  after(() => base[Symbol.asyncDispose]());

  /** Loads a server whose request listener is this code, under a name of its own. */
  let count = 0;
  async function serve(
    listener: string,
  ): Promise<(path?: string, more?: object, body?: string | Uint8Array | null, fin?: boolean) => Call> {
    const module = `server-${++count}`;
    await base.load(`require('node:http').createServer(async (req, res) => { ${listener} }).listen(80)`, { module });
    return (path = '/', more = {}, body = null, fin = true) => base.http(path, { module, ...more }, body, fin);
  }

  it('says that it listens, where it does, and that it has closed', async () => {
    const text = await base.evaluate(`new Promise((resolve) => {
      const http = require('http');
      const said = [];
      const server = http.createServer();
      said.push(server.listening, server.address(), server instanceof http.Server);
      server.on('listening', () => said.push('event'));
      server.listen(0, '0.0.0.0', () => {
        said.push(server.listening, server.address().address, server.address().port > 0);
        try { server.listen(1) } catch (error) { said.push(error.code) }
        server.close((error) => {
          said.push(error ?? null, server.listening, server.address());
          server.close((again) => resolve(JSON.stringify([...said, again.code])));
        });
      });
    })`);
    assert.deepEqual(JSON.parse(text), [
      ...[false, null, true, 'event', true, '0.0.0.0', true, 'ERR_SERVER_ALREADY_LISTEN'],
      ...[null, false, null, 'ERR_SERVER_NOT_RUNNING'],
    ]);
  });

  it('takes all forms of listen, and refuses a port that is none', async () => {
    const text = await base.evaluate(`(async () => {
      const http = require('http');
      const addresses = [];
      for (const args of [[8080], ['8081'], [8082, 'localhost'], [8083, '::1', 511], [{ port: 8084, host: '10.0.0.1' }], ['/run/x.sock'], [{ path: '/y' }]]) {
        const server = http.createServer();
        await new Promise((resolve) => server.listen(...args, resolve));
        const address = server.address();
        addresses.push(typeof address === 'string' ? address : address.address + ' ' + address.port);
        await new Promise((resolve) => server.close(resolve));
      }
      for (const port of [-1, 70000, NaN]) try { http.createServer().listen(port); addresses.push('took it') } catch (error) { addresses.push(error.code) }
      return addresses.join();
    })()`);
    assert.equal(
      text,
      '127.0.0.1 8080,127.0.0.1 8081,127.0.0.1 8082,::1 8083,10.0.0.1 8084,/run/x.sock,/y,' +
        'ERR_SOCKET_BAD_PORT,ERR_SOCKET_BAD_PORT,ERR_SOCKET_BAD_PORT',
    );
  });

  it('with TLS is refused by name', async () => {
    assert.match(await base.evaluate(`require('https').createServer({})`), /https\.createServer is not available/);
  });

  it('that listens only after its start-up is waited for', async () => {
    const module = 'late';
    const code = `(async () => { await new Promise((r) => setTimeout(r, 20)); require('http').createServer((q, s) => s.end('late')).listen(1) })();
      require('http');`;
    const loaded = await base.load(code, { module });
    assert.deepEqual(loaded.head.handlers, ['node-http']);
    assert.equal((await base.http('/', { module }).whole()).text, 'late');
  });

  it('gives head, body and end in one piece when the answer is whole', async () => {
    const http = await serve(
      `res.setHeader('X-A', ['1', '2']); res.statusCode = 202; res.statusMessage = 'Fine'; res.end('body')`,
    );
    const answer = await http().whole();
    assert.deepEqual([answer.head.status, answer.head.statusText, answer.text], [202, 'Fine', 'body']);
    assert.deepEqual(headerOf(answer, 'x-a'), ['1', '2']);
    assert.equal(answer.head.waiting, false);
  });

  it('tells a slow reader apart: write returns false, drain follows, memory stays bounded', async () => {
    const chunk = 64 * 1024;
    const http = await serve(`
      globalThis.written = 0; globalThis.drains = 0;
      const chunk = Buffer.alloc(${chunk}, 1);
      res.on('drain', () => globalThis.drains++);
      for (let i = 0; i < 64; i++) {
        const more = res.write(chunk);
        globalThis.written += chunk.length;
        if (!more) await require('events').once(res, 'drain');
      }
      res.end();`);
    const call = http();
    call.consume = false;
    await call.answered.promise;
    const written = Number(await base.evaluate('globalThis.written'));
    assert.ok(written <= 256 * 1024 + 2 * chunk, `${written} bytes were written against no credit`);
    call.consume = true;
    let consumed = 0;
    for (const bytes of call.chunks) consumed += bytes.byteLength;
    call.exchange.consumed(consumed);
    assert.equal((await call.whole()).body.byteLength, 64 * chunk);
    assert.ok(Number(await base.evaluate('globalThis.drains')) > 0);
  });

  it('pipes large bodies through both ways', async () => {
    const http = await serve(`req.pipe(res)`);
    const bytes = randomBytes(3_000_000);
    const answer = await http('/', { method: 'POST' }, bytes).whole();
    assert.ok(Buffer.from(answer.body).equals(bytes));
  });

  it('that does not read the body lets the sender wait at the link credit', async () => {
    const http = await serve(
      `globalThis.req = req; if (req.url === '/late') { await new Promise((r) => { globalThis.go = r }); } let n = 0; for await (const c of req) n += c.length; res.end(String(n))`,
    );
    const call = http('/late', { method: 'POST' }, null, false);
    let sent = 0;
    while (call.exchange.write(Buffer.alloc(64 * 1024))) sent += 64 * 1024;
    assert.ok(sent <= 256 * 1024);
    const drained = new Promise<void>((resolve) => call.drained.push(resolve));
    await base.evaluate('globalThis.go()');
    await drained;
    call.exchange.end();
    assert.equal((await call.whole()).text, String(sent + 64 * 1024));
  });

  it('hears that its client has gone: aborted, close on request and response', async () => {
    const http = await serve(`
      globalThis.heard = [];
      req.on('aborted', () => heard.push('req aborted')).on('error', (e) => heard.push(e.code)).on('close', () => heard.push('req close'));
      res.on('close', () => { heard.push('res close ' + res.writableFinished); globalThis.done?.() });
      res.write('x');`);
    const call = http('/', { method: 'POST' }, null, false);
    await call.until('x');
    call.exchange.cancel({ code: 'ABORTED', message: 'client gone' });
    const heard = await base.evaluate(`new Promise((resolve) => {
      const look = () => heard.length === 4 ? resolve(heard.sort().join()) : setImmediate(look);
      look();
    })`);
    assert.equal(heard, 'ECONNRESET,req aborted,req close,res close false');
  });

  it('gets finish, then close, when it has answered', async () => {
    const http = await serve(`
      globalThis.order = [];
      for (const name of ['prefinish', 'finish', 'close']) res.on(name, () => order.push(name + ' ' + res.writableFinished));
      res.end('x', () => order.push('end callback'));`);
    await http().whole();
    const order = await base.evaluate(`new Promise((resolve) => {
      const look = () => order.length === 4 ? resolve(order.join()) : setImmediate(look);
      look();
    })`);
    assert.equal(order, 'prefinish false,end callback,finish true,close true');
  });

  it('finds its place in the trace in its headers', async () => {
    const http = await serve(`res.end(req.headers.traceparent)`);
    const headers: HeaderList = [['traceparent', 'of the caller']];
    assert.equal(
      (await http('/', { headers }).whole()).text,
      '00-11111111111111111111111111111111-2222222222222222-01',
    );
    assert.equal((await http('/').whole()).text, '00-11111111111111111111111111111111-2222222222222222-01');
  });

  it('that throws, hangs up or breaks off is FUNCTION_EXCEPTION, and the base goes on', async () => {
    const module = 'thrower';
    await base.load(
      `require('http').createServer((req, res) => {
        if (req.url === '/throw') throw new Error('in the listener');
        if (req.url === '/hang-up') return req.socket.destroy();
        if (req.url === '/destroy') { res.write('some'); return setImmediate(() => res.destroy(new Error('half way'))); }
        if (req.url === '/header') { try { res.setHeader('a b', 'x') } catch (error) { res.statusCode = 599; res.end(error.code) } return }
        if (req.url === '/head') { try { res.writeHead(200, { x: 'a\\nb' }) } catch (error) { res.end(error.code) } return }
        res.end('fine');
      }).listen(1)`,
      { module },
    );
    const fails = async (path: string) =>
      base
        .http(path, { module })
        .whole()
        .then(
          () => 'no failure',
          (error: { code: string; message: string }) => `${error.code} ${error.message}`,
        );
    assert.match(await fails('/throw'), /^FUNCTION_EXCEPTION .*in the listener/);
    assert.match(await fails('/hang-up'), /^FUNCTION_EXCEPTION .*without an answer/);
    assert.match(await fails('/destroy'), /^FUNCTION_EXCEPTION .*half way/);
    const invalid = await base.http('/header', { module }).whole();
    assert.deepEqual([invalid.head.status, invalid.text], [599, 'ERR_INVALID_HTTP_TOKEN']);
    assert.equal((await base.http('/head', { module }).whole()).text, 'ERR_INVALID_CHAR');
    assert.equal((await base.http('/', { module }).whole()).text, 'fine');
  });

  it('may answer before it has read the body, which ends the reading', async () => {
    const http = await serve(`
      globalThis.seen = [];
      req.on('data', () => seen.push('data')).on('error', (error) => seen.push(error.code)).on('end', () => seen.push('end'));
      req.once('data', () => res.end('early'));`);
    const call = http('/', { method: 'POST' }, 'first', false);
    assert.equal((await call.answered.promise).status, 200);
    const seen = await base.evaluate(`new Promise((resolve) => {
      const look = () => seen.length === 2 ? resolve(seen.join()) : setImmediate(look);
      look();
    })`);
    assert.equal(seen, 'data,ECONNRESET');
  });

  it('with WebSockets of its own is told that they are not served; without, an upgrade is a request', async () => {
    const module = 'upgrader';
    const code =
      "const s = require('node:http').createServer((q, r) => r.end('plain ' + q.headers.upgrade)).listen(1);";
    await base.load(code, { module });
    const upgrade = { module, upgrade: true, headers: [['upgrade', 'websocket']] as HeaderList };
    assert.equal((await base.http('/', upgrade).whole()).text, 'plain websocket');
    await base.load(`${code} s.on('upgrade', () => undefined);`, { module: 'ws' });
    const error = await base.http('/', { ...upgrade, module: 'ws' }).ended.promise;
    assert.equal(error?.code, 'FUNCTION_EXCEPTION');
    assert.match(error?.message ?? '', /own WebSockets are not served/);
  });

  it('ignores interim answers and trailers', async () => {
    const http = await serve(`
      res.writeContinue(); res.writeProcessing(); res.writeEarlyHints({ link: '</a.css>; rel=preload' });
      res.setHeader('trailer', 'x'); res.write('a'); res.addTrailers({ x: '1' }); res.end('b');`);
    assert.equal((await http().whole()).text, 'ab');
  });

  it('can be wrapped by middleware as it likes to be', async () => {
    // As compression and on-headers do it.
    const http = await serve(`
      const { writeHead, write, end } = res;
      let size = 0;
      res.writeHead = function (...args) { this.setHeader('x-wrapped', '1'); return writeHead.apply(this, args) };
      res.write = function (chunk, ...args) { size += chunk.length; return write.call(this, chunk, ...args) };
      res.end = function (chunk, ...args) { if (chunk) size += chunk.length; return end.call(this, chunk, ...args) };
      res.on('finish', () => { globalThis.size = size });
      res.write('abc'); res.end('de');`);
    const answer = await http().whole();
    assert.equal(answer.text, 'abcde');
    assert.equal(headerOf(answer, 'x-wrapped'), '1');
    assert.equal(await base.evaluate('globalThis.size'), '5');
  });
});
