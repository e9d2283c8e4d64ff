import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { traceparentUnder } from '../../../functions/contract/span.ts';
import { TestBase } from '../testing/harness.ts';

const DENIED = /is not available to functions/;

describe('what a module cannot reach', () => {
  let base: TestBase;
  before(async () => {
    base = await TestBase.start();
  });
  after(() => base[Symbol.asyncDispose]());

  for (const name of [
    'sqlite',
    'inspector',
    'inspector/promises',
    'ffi',
    'repl',
    'wasi',
    'test',
    'sea',
    'trace_events',
    'no-such',
  ]) {
    test(`the built-in ${name} is refused by require and by getBuiltinModule`, async () => {
      assert.match(await base.evaluate(`require('node:${name}')`), DENIED);
      assert.equal(await base.evaluate(`String(process.getBuiltinModule('node:${name}'))`), 'undefined');
    });
  }

  for (const [what, expression] of [
    ['a child process', "require('child_process').execSync('id')"],
    ['a fork', "require('node:cluster').fork()"],
    ['another context', "require('vm').runInNewContext('1')"],
    ['a script', "new (require('node:vm').Script)('1')"],
    ['flags of V8', "require('v8').setFlagsFromString('--no-opt')"],
    ['a heap snapshot', "require('v8').writeHeapSnapshot()"],
    ['module hooks', "require('module').registerHooks({})"],
    ['a worker thread', "new (require('worker_threads').Worker)('1', { eval: true })"],
    [
      'a worker by the back door',
      "new (process.getBuiltinModule('worker_threads').Worker)('1', { eval: true, execArgv: [] })",
    ],
    ['environment data', "require('worker_threads').setEnvironmentData('a', 1)"],
    ['the priority of the process', "require('os').setPriority(0)"],
    ['process.kill', 'process.kill(process.pid, 0)'],
    ['process._kill', 'process._kill(process.pid, 0)'],
    ['process.binding', "process.binding('fs')"],
    ['process._linkedBinding', "process._linkedBinding('fs')"],
    ['process.dlopen', "process.dlopen({ exports: {} }, 'x')"],
    ['process.setPriority', 'process.setPriority(0)'],
    ['process.chdir', "process.chdir('/')"],
    ['handles of the process', 'process._getActiveHandles()'],
    ['the debugger of the parent', 'process._debugProcess(process.ppid)'],
    ['an async hook', "require('async_hooks').createHook({})"],
    ['a descriptor by number', "require('fs').fstatSync(0)"],
    ['a write to a descriptor', "require('fs').writeSync(20, 'x')"],
    ['closing a descriptor', "require('fs').closeSync(20)"],
    ['reading a descriptor as a file', "require('fs').readFileSync(20)"],
    ['a stream of a descriptor', "require('fs').createReadStream('', { fd: 20 })"],
    ['a stream class of a descriptor', "new (require('fs').ReadStream)('', { fd: 20 })"],
    ['a terminal of a descriptor', "new (require('tty').ReadStream)(0)"],
    ['a require outside of the bundle', "require('module').createRequire('/')('left-pad')"],
  ] as const) {
    test(`${what} is refused`, async () => {
      assert.match(await base.evaluate(expression), /is not available to functions|is not a function|undefined/);
    });
  }

  for (const [what, expression] of [
    ['net.Socket', "new (require('net').Socket)({ fd: FD })"],
    ['net.connect', "require('net').connect({ fd: FD })"],
    ['http.request', "require('http').request({ fd: FD, host: '127.0.0.1', agent: false })"],
    ['a class found by its instance', "new (Object.getPrototypeOf(require('tls').TLSSocket))({ fd: FD })"],
    [
      'a server',
      "await new Promise((resolve, reject) => require('net').createServer().on('error', reject).listen({ fd: FD }, resolve))",
    ],
    [
      'the handle of a socket',
      "(() => { const s = require('net').connect(1, '127.0.0.1'); const h = s._handle; s.on('error', () => {}).destroy(); return new h.constructor(0).open(FD) })()",
    ],
  ] as const) {
    test(`a socket of another part of the process is refused: ${what}`, async () => {
      // Descriptors belong to the process: this one is a real socket of the test itself.
      const server = net.createServer();
      server.listen(join(base.filesDir, `s-${Math.floor(performance.now() * 1000)}`));
      await once(server, 'listening');
      const socket = net.connect(server.address() as string);
      const [peer] = (await once(server, 'connection')) as [net.Socket];
      try {
        const fd = (socket as unknown as { _handle: { fd: number } })._handle.fd;
        assert.ok(fd > 2);
        assert.match(await base.evaluate(expression.replaceAll('FD', String(fd))), DENIED);
      } finally {
        socket.destroy();
        peer.destroy();
        server.close();
      }
    });
  }

  for (const [what, expression] of [
    ['import', "await import('node:fs')"],
    ['import in eval', 'await eval(\'import("node:fs")\')'],
    ['import in an indirect eval', 'await (0, eval)(\'import("node:fs")\')'],
    ['import in a Function', 'await new Function(\'return import("node:fs")\')()'],
    ['import in an async Function', 'await (async () => {}).constructor(\'return import("node:fs")\')()'],
    ['import of data', "await import('data:text/javascript,export default 1')"],
    ['import by eval as a callback', 'await Promise.resolve(\'import("node:fs")\').then(eval)'],
  ] as const) {
    test(`${what} is refused`, async () => {
      assert.match(await base.evaluate(expression), /A dynamic import callback was not specified/);
    });
  }

  for (const [what, expression, expected] of [
    ['the real process is not behind the global one', 'Object.keys(process.__proto__).includes("kill")', 'false'],
    ['nor behind the constructor', 'typeof process.constructor.prototype.binding', 'undefined'],
    ['the global process cannot be replaced', '(() => { "use strict"; globalThis.process = 1 })()', /TypeError/],
    ['sloppy code finds the guarded process', "new Function('return this')().process.kill(1, 0)", DENIED],
    ['there is no BroadcastChannel', 'typeof BroadcastChannel', 'undefined'],
    ['there is no localStorage', 'typeof localStorage', 'undefined'],
    ['environment data of the host is unseen', "require('worker_threads').getEnvironmentData('a')", 'undefined'],
    ['the port of the host is unseen', "String(require('worker_threads').parentPort)", 'null'],
    ['the task of the base is unseen', "String(require('worker_threads').workerData)", 'null'],
    ['reports are off', 'typeof process.report', 'undefined'],
    ['the environment is empty', 'Object.keys(process.env).length', '0'],
    ['require has no cache of real modules', 'typeof require.cache', 'undefined'],
    ['main is not there', 'typeof require.main', 'undefined'],
  ] as const) {
    test(what, async () => {
      const answer = await base.evaluate(expression);
      if (typeof expected === 'string') assert.equal(answer, expected);
      else assert.match(answer, expected);
    });
  }

  for (const [what, expression] of [
    ['hash', "require('crypto').createHash('sha1').update('').digest('hex').length === 40"],
    ['paths', "require('path').join('a', 'b') === 'a/b'"],
    ['async context', "new (require('node:async_hooks').AsyncLocalStorage)().run(1, () => true)"],
    ['structured serialization', "require('v8').deserialize(require('v8').serialize({ a: 1 })).a === 1"],
    [
      'a library that only mentions child_process',
      "typeof require('util').promisify(require('child_process').exec) === 'function'",
    ],
    ['the version', "process.version.startsWith('v26')"],
    ['ticks', 'await new Promise((resolve) => process.nextTick(resolve, true))'],
    ['URLPattern', "new URLPattern({ pathname: '/:a' }).exec('http://x/b').pathname.groups.a === 'b'"],
    ['streams', "(await require('stream/consumers').text(require('stream').Readable.from(['a']))) === 'a'"],
    ['process as a module', "require('process').version === process.version && require('process').env === process.env"],
  ] as const) {
    test(`a module has ${what}`, async () => {
      assert.equal(await base.evaluate(expression), 'true');
    });
  }
});

test('a module reads its own files, and no others', async () => {
  await using base = await TestBase.start();
  await writeFile(join(base.filesDir, 'page.html'), '<p>');
  const options = { filesDir: base.filesDir };
  assert.equal(await base.evaluate("require('fs').readFileSync(__dirname + '/page.html', 'utf8')", options), '<p>');
  assert.equal(
    await base.evaluate("(await require('fs/promises').readFile(process.cwd() + '/page.html', 'utf8'))", options),
    '<p>',
  );
  assert.equal(
    await base.evaluate(
      "(() => { const fs = require('fs'); const fd = fs.openSync(__dirname + '/page.html'); const b = Buffer.alloc(3); fs.readSync(fd, b); fs.closeSync(fd); return b + String(fs.existsSync('/etc/passwd')) })()",
      options,
    ),
    '<p>false',
  );
  assert.equal(
    await base.evaluate(
      "(await require('stream/consumers').text(require('fs').createReadStream(__dirname + '/page.html')))",
      options,
    ),
    '<p>',
  );
  for (const path of [
    '/etc/passwd',
    join(process.cwd(), 'package.json'),
    join(base.filesDir, '..', 'base.cjs'),
    join(base.filesDir, '..', 'slot-2', 'secret.txt'),
  ]) {
    assert.match(
      await base.evaluate(`require('fs').readFileSync(${JSON.stringify(path)}, 'utf8')`, options),
      /restricted/,
    );
  }
  assert.match(await base.evaluate("require('fs').writeFileSync(__dirname + '/new', '')", options), /restricted/);
});

test('a module without files reads nothing at all', async () => {
  await using base = await TestBase.start();
  await writeFile(join(base.filesDir, 'page.html'), '<p>');
  assert.match(
    await base.evaluate(`require('fs').readFileSync(${JSON.stringify(join(base.filesDir, 'page.html'))})`),
    /restricted/,
  );
});

test('a module with top-level await gets the same built-ins, and imports nothing from addresses', async () => {
  await using base = await TestBase.start();
  await base.load(
    `import process from 'node:process';
     import * as threads from 'worker_threads';
     const attempt = async (f) => { try { return String(await f()) } catch (error) { return error.message } };
     const found = [
       await attempt(() => process.kill(1, 0)),
       await attempt(() => new threads.Worker('1', { eval: true })),
       await attempt(() => import('node:sqlite')),
       await attempt(() => import('data:text/javascript,export default 1')),
       await attempt(() => import('file:///etc/passwd')),
       await attempt(() => new Function('return import("node:inspector")')()),
       await attempt(() => import('node:module').then((m) => m.registerHooks({}))),
     ];
     export default { fetch: () => Response.json(found) }`,
    { format: 'esm' },
  );
  const found = JSON.parse((await base.http('/').whole()).text) as string[];
  for (const message of found) assert.match(message, /is not available to functions|dynamic import callback/);
  await using other = await TestBase.start();
  await assert.rejects(other.load("import 'node:sqlite'; export default {}", { format: 'esm' }), {
    code: 'PROBE_FAILED',
    message: /node:sqlite/,
  });
});

test('with network none no connection can be opened, while the link goes on', async () => {
  const server = net.createServer((socket) => socket.end('hello'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  try {
    const connect = `await new Promise((resolve, reject) => require('net').connect(${port}, '127.0.0.1').on('error', reject).on('data', (d) => resolve(String(d))))`;
    await using open = await TestBase.start();
    assert.equal(await open.evaluate(connect), 'hello');
    await using shut = await TestBase.start();
    const none = { network: 'none' } as const;
    assert.match(await shut.evaluate(connect, none), /restricted/);
    assert.match(await shut.evaluate(`await fetch('http://127.0.0.1:${port}/')`, none), /hearth.network is "none"/);
    assert.match(
      await shut.evaluate(
        "await new Promise((resolve, reject) => require('dns').lookup('localhost', (e, a) => e ? reject(e) : resolve(a)))",
        none,
      ),
      /restricted|ERR_ACCESS_DENIED/,
    );
    assert.match(
      await shut.evaluate(
        "await new Promise((resolve, reject) => require('net').createServer().on('error', reject).listen(0, () => resolve('open')))",
        none,
      ),
      /restricted/,
    );
    assert.match(
      await shut.evaluate(
        "await new Promise((resolve, reject) => { const s = require('dgram').createSocket('udp4').on('error', reject); s.send('x', 9, '127.0.0.1', (e) => e ? reject(e) : resolve('sent')) })",
        none,
      ),
      /restricted/,
    );
    assert.equal(await shut.evaluate("(await (await fetch('data:text/plain,inline')).text())", none), 'inline');
  } finally {
    server.close();
  }
});

test('outgoing fetch carries the traceparent of its invocation unless the function set one', async () => {
  const { createServer } = await import('node:http');
  const server = createServer((request, response) => response.end(String(request.headers.traceparent)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as net.AddressInfo).port}/`;
  try {
    await using base = await TestBase.start();
    // Each call is a span of its own in that trace, and the parent of what happens there.
    const own = traceparentUnder('00-11111111111111111111111111111111-2222222222222222-01', 1);
    assert.equal(await base.evaluate(`await (await fetch('${url}')).text()`), own);
    assert.equal(
      await base.evaluate(`await (await fetch(new Request('${url}', { headers: { a: 'b' } }))).text()`),
      own,
    );
    assert.equal(
      await base.evaluate(`await (await fetch('${url}', { headers: { traceparent: 'mine' } })).text()`),
      'mine',
    );
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
