/** Ways out of a base through what Node itself offers: ports, clones, paths, names, channels between its own parts. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Rig, startRig } from './testing/rig.ts';

describe('a function that looks for ways out', () => {
  let rig: Rig;
  before(async () => {
    rig = await startRig({ timeoutMs: 5_000 });
    await rig.deployAttacker('filer', {}, { 'page.html': '<p>' });
  });
  after(() => rig[Symbol.asyncDispose]());

  test('listens nowhere: on [::1] it would be what `localhost` means to who brings the admin token', async () => {
    const { port } = new URL(rig.gateway.adminUrl);
    const said = (await rig.result(`
      const net = require('net'), tls = require('tls'), http = require('http');
      const listening = (server, ...where) => new Promise((resolve, reject) => net.Server.prototype.listen.call(server.on('error', reject), ...where, () => resolve('open')));
      const bound = () => new net.BoundSocket({ host: '127.0.0.1', port: 0 });
      return Promise.all([
        ['::1', () => listening(net.createServer(), ${port}, '::1')],
        ['::', () => listening(net.createServer(), { port: ${port}, host: '::', ipv6Only: true })],
        ['127.0.0.2', () => listening(net.createServer(), ${port}, '127.0.0.2')],
        ['any', () => listening(net.createServer(), 0)],
        ['reuse', () => listening(net.createServer(), { port: ${port}, host: '127.0.0.1', reusePort: true })],
        ['tls', () => listening(tls.createServer({}), 0, '127.0.0.1')],
        ['http', () => listening(http.createServer(), 0, '127.0.0.1')],
        ['bound', () => listening(net.createServer(), bound())],
        ['handle', () => { const s = net.connect(1, '127.0.0.1'), { _handle } = s; s.on('error', () => {}).destroy(); const h = new _handle.constructor(1); return [h.bind('127.0.0.1', 0), h.listen(1)].some((code) => code < 0) ? Promise.reject(new Error('EACCES')) : 'open' }],
      ].map(async ([how, act]) => [how, await attempt(act)]));`)) as [string, string][];
    for (const [how, line] of said) assert.match(String(line), /^refused: .*(EACCES|EADDRINUSE|EADDRNOTAVAIL)/, how);
    // Who serves HTTP by listening goes on as ever.
    await rig.gateway.deploy(
      'listener',
      "import http from 'node:http'; http.createServer((_, response) => response.end('served')).listen(8081)",
    );
    assert.equal(await (await fetch(`${rig.gateway.url}/listener`)).text(), 'served');
  });

  test('has no file handle made of an object of its own that it clones', async () => {
    const said = (await rig.result(
      `
      const symbols = Object.getOwnPropertySymbols(Blob.prototype);
      const clone = symbols.find(({ description }) => description === 'messaging_clone_symbol');
      const forge = (deserializeInfo, data) => { const blob = new Blob([]); blob[clone] = () => ({ data, deserializeInfo }); return blob };
      const found = {};
      for (let fd = 0; fd < 40; fd++) {
        const blob = forge('internal/fs/promises:FileHandle', { handle: { fd } });
        for (const [how, act] of Object.entries({
          cloned: async () => (await structuredClone(blob).write('x')).bytesWritten,
          posted: () => new Promise((resolve, reject) => { const { port1, port2 } = new MessageChannel(); port2.on('message', (h) => resolve(h.fd)).on('messageerror', reject); port1.postMessage(blob); setTimeout(() => { port2.close(); reject(new Error('silence')) }, 20) }),
          received: () => { const { port1, port2 } = new MessageChannel(); port1.postMessage(blob); const got = require('worker_threads').receiveMessageOnPort(port2); port2.close(); return got.message.fd },
        })) { const line = await attempt(act); if (!/^refused/.test(line)) found[how] = fd }
      }
      for (const spec of ['child_process:ChildProcess', 'internal/worker:Worker', 'internal/child_process:ChildProcess', 'inspector:Session', 'vm:Script', 'sqlite:DatabaseSync', 'internal/main/repl:x', 'net:Socket', 'net:_TransferredBoundSocket', 'dgram:Socket'])
        { const line = await attempt(() => structuredClone(forge(spec, { handle: { fd: 3 }, fd: 3 })).constructor.name); if (!/^refused/.test(line)) found[spec] = line }
      const whole = await new Response(structuredClone(new Blob(['as ever']))).text();
      return { found, whole };`,
    )) as { found: object; whole: string };
    assert.deepEqual(said, { found: {}, whole: 'as ever' });
  });

  test('is told of no path, process or user of the machine', async () => {
    const said = (await rig.result(
      `
      const fs = require('fs'), os = require('os');
      const paths = ['/etc/passwd', '/nonexistent/x', '/proc/self/exe', '/lib64', '/etc/../etc/hostname', '/', process.cwd() + '/../../..'];
      const told = [];
      for (const path of paths) for (const [how, act] of Object.entries({
        real: () => fs.realpathSync(path), native: () => fs.realpathSync.native(path), promised: () => fs.promises.realpath(path),
        back: () => new Promise((resolve, reject) => fs.realpath(path, (error, found) => error ? reject(error) : resolve(found))),
        access: () => fs.accessSync(path), lstat: () => fs.lstatSync(path).size, statfs: () => fs.statfsSync(path).blocks, link: () => fs.readlinkSync(path),
        watched: () => fs.watchFile(path, () => {}), copied: () => fs.cpSync(path, process.cwd() + '/x', { recursive: true }),
      })) { const line = await attempt(act); if (!/^refused: (ERR_ACCESS_DENIED|EACCES)/.test(line)) told.push(how + ' ' + path + ' ' + line) }
      const own = fs.realpathSync(process.cwd() + '/page.html').endsWith('/page.html');
      const priorities = await Promise.all([1, process.ppid, 2, 99_999].map((pid) => attempt(() => os.getPriority(pid))));
      return { told, own, priorities, user: os.userInfo().username, home: os.homedir(), nice: typeof os.getPriority() };`,
      'filer',
    )) as { told: string[]; own: boolean; priorities: string[]; user: string; home: string; nice: string };
    assert.deepEqual(said.told, []);
    for (const line of said.priorities) assert.match(line, /not available to functions/);
    assert.deepEqual([said.own, said.user, said.home, said.nice], [true, 'nobody', '/', 'number']);
  });

  test('hears nothing of other bases of its host: no channel, entry or dispatcher is shared', async () => {
    await rig.deployAttacker('sister');
    const [heard, answered] = await Promise.all([
      rig.result(`
        const { subscribe } = require('diagnostics_channel'), { PerformanceObserver } = require('perf_hooks'), heard = [];
        for (const name of ['undici:request:create', 'undici:client:connected', 'http.client.request.start', 'net.client.socket', 'net.server.socket', 'worker_threads', 'tracing:net.server.listen:asyncStart', 'mine'])
          subscribe(name, () => heard.push(name));
        new PerformanceObserver((list) => { for (const { entryType } of list.getEntries()) if (entryType !== 'gc') heard.push(entryType) }).observe({ entryTypes: ['http', 'http2', 'dns', 'net', 'mark', 'measure', 'resource', 'function'] });
        globalThis[Symbol.for('undici.globalDispatcher.1')] = globalThis[Symbol.for('undici.globalDispatcher.2')] = { dispatch() { heard.push('dispatched'); throw new Error('mine') } };
        process.on('message', () => heard.push('message')).on('workerMessage', () => heard.push('workerMessage')).on('unhandledRejection', () => heard.push('rejection'));
        await new Promise((resolve) => setTimeout(resolve, 400));
        return heard;`),
      rig.result(
        `
        require('diagnostics_channel').channel('mine').publish(1);
        performance.mark('sister');
        await require('dns').promises.lookup('localhost');
        return (await fetch('${rig.gateway.url}/beside')).text();`,
        'sister',
      ),
    ]);
    assert.deepEqual(heard, []);
    assert.equal(answered, 'fine');
  });

  test('under network none is not let out by a dispatcher, agent or socket of its own', async () => {
    await rig.deployAttacker('offline', { hearth: { network: 'none' } });
    const said = (await rig.result(
      `
      const port = ${new URL(rig.gateway.url).port}, net = require('net'), http = require('http');
      const { dispatch } = globalThis[Symbol.for('undici.globalDispatcher.1')] ?? {};
      const opened = (socket) => new Promise((resolve, reject) => socket.on('error', reject).on('connect', () => resolve('open')));
      class Agent extends http.Agent { createConnection(options) { return new net.Socket().connect(port, '127.0.0.1') } }
      return Promise.all([
        () => opened(new net.Socket().connect(port, '127.0.0.1')),
        () => new Promise((resolve, reject) => http.get({ agent: new Agent(), host: 'x' }, resolve).on('error', reject)),
        () => new Promise((resolve, reject) => globalThis[Symbol.for('undici.globalDispatcher.1')].dispatch({ origin: 'http://127.0.0.1:' + port, path: '/', method: 'GET' }, { onConnect() {}, onRequestStart() {}, onResponseStart() { resolve('open') }, onHeaders() { resolve('open') }, onData() {}, onComplete() {}, onError: reject, onResponseError: (_, error) => reject(error) })),
        () => { const h = new net.BoundSocket({ host: '127.0.0.1', port: 0 }); return opened(net.connect({ port, host: '127.0.0.1', handle: h })) },
        () => { const { constructor } = net.connect(port, '127.0.0.1').on('error', () => {})._handle ?? {}; const h = new constructor(0); const code = h.connect({ oncomplete() {} }, '127.0.0.1', port); if (code !== 0) throw new Error('refused with ' + code); return 'open' },
      ].map((act) => Promise.race([attempt(act), new Promise((resolve) => setTimeout(resolve, 2_000, 'refused: silence'))])));`,
      'offline',
    )) as string[];
    for (const line of said) assert.match(String(line), /^refused: /);
  });

  test('is stopped while it floods the link with frames that are in order, and the gateway answers others meanwhile', async () => {
    const name = await rig.freshAttacker();
    const { status, body } = await rig.attack(
      `const line = { time: Date.now(), level: 'info', module: 'main', message: 'x'.repeat(100), invocationId: null };
       const { Duplex } = require('stream'), { Socket } = require('net'), real = Duplex.prototype.write;
       const link = await new Promise((resolve) => { Duplex.prototype.write = function (...args) { if (this instanceof Socket) { Duplex.prototype.write = real; resolve(this) } return real.apply(this, args) }; console.log('to the link') });
       const payload = Buffer.from(JSON.stringify({ event: 'settled', invocationId: 'nobody', timedOut: false })), frame = Buffer.alloc(9 + payload.length);
       frame.writeUInt32BE(5 + payload.length, 0); frame[4] = 6; payload.copy(frame, 9);
       const many = Buffer.concat(Array.from({ length: 500 }, () => frame));
       for (;;) if (!link.write(many)) await new Promise((resolve) => link.once('drain', resolve));`,
      name,
    );
    assert.ok(status === 504 || status === 502, JSON.stringify(body));
    assert.equal(await rig.result("return 'anew'", name), 'anew');
  });
});
