import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Rig, startRig } from './testing/rig.ts';

const DENIED = /^refused: (ERR_ACCESS_DENIED|EACCES|ENOENT)/;

describe('the machine, seen from a function', () => {
  let rig: Rig;
  let directory: string;
  before(async () => {
    rig = await startRig();
    directory = mkdtempSync(join(tmpdir(), 'hearth-machine-'));
    execFileSync('mkfifo', [join(directory, 'fifo')]);
    await rig.deployAttacker('filer', {}, { 'page.html': '<p>' });
  });
  after(async () => {
    rmSync(directory, { recursive: true, force: true });
    await rig[Symbol.asyncDispose]();
  });

  for (const name of ['attacker', 'filer']) {
    test(`shows no file and no process to ${name === 'filer' ? 'one with files of its own' : 'one without files'}`, async () => {
      const { dataDir, pid } = rig.gateway;
      const paths = [
        ...[`${dataDir}/admin-token`, `${dataDir}/secret-key`, `${dataDir}/hearth.db`, `${dataDir}/run/base.cjs`],
        ...[`/proc/${pid}/environ`, `/proc/${pid}/cmdline`, '/proc/self/environ', '/proc/self/maps', '/proc/self/fd/3'],
        ...['/etc/passwd', import.meta.filename, process.execPath, join(directory, 'fifo')],
      ];
      const directories = [dataDir, `${dataDir}/run`, '/proc', '/proc/self/fd', '/proc/self/task', '/', '/dev', '/tmp'];
      const found = (await rig.result(
        `
        const fs = require('fs'), seen = {};
        const ways = {
          read: (p) => fs.readFileSync(p, 'latin1'), promised: (p) => fs.promises.readFile(p), opened: (p) => fs.openSync(p),
          stat: (p) => fs.statSync(p), linked: (p) => fs.readlinkSync(p), streamed: (p) => require('stream/consumers').text(fs.createReadStream(p)),
          blob: (p) => fs.openAsBlob(p), copied: (p) => fs.copyFileSync(p, process.cwd() + '/copy'), url: (p) => fs.readFileSync(new URL('file://' + p)),
          buffer: (p) => fs.readFileSync(Buffer.from(p)), dots: (p) => fs.readFileSync(process.cwd() + '/../../../../../../../..' + p),
          slashes: (p) => fs.readFileSync('//' + p), loaded: (p) => require(p), worker: (p) => require('tls').createSecureContext({ cert: fs.readFileSync(p) }),
        };
        for (const path of ${JSON.stringify(paths)}) for (const [how, way] of Object.entries(ways)) {
          const said = await attempt(() => way(path));
          if (typeof said !== 'string' || !said.startsWith('refused')) seen[how + ' ' + path] = typeof said;
        }
        for (const path of ${JSON.stringify(directories)}) for (const way of ['readdirSync', 'opendirSync', 'watch', 'globSync', 'mkdtempSync', 'rmSync']) {
          const said = await attempt(() => way === 'globSync' ? fs.globSync(path + '/*') : fs[way](path));
          if (typeof said === 'string' ? !said.startsWith('refused') : !(way === 'globSync' && said.length === 0)) seen[way + ' ' + path] = said;
        }
        return seen;`,
        name,
      )) as object;
      assert.deepEqual(found, {});
    });
  }

  test('lets no read of a FIFO begin, four at once or blocking, and lets none be made', async () => {
    const fifo = JSON.stringify(join(directory, 'fifo'));
    const said = (await rig.result(
      `
      const fs = require('fs');
      return await Promise.all([
        ...[1, 2, 3, 4].map(() => attempt(() => fs.promises.readFile(${fifo}))), attempt(() => fs.readFileSync(${fifo})),
        attempt(() => require('child_process').execFileSync('mkfifo', ['/tmp/x'])),
        attempt(() => fs.writeFileSync(${fifo}, 'x')), attempt(() => fs.symlinkSync(${fifo}, process.cwd() + '/fifo')),
      ]);`,
      'filer',
    )) as string[];
    for (const line of said) assert.match(line, DENIED);
  });

  test('survives every descriptor that a function can take', async () => {
    const { status } = await rig.attack(
      `const fs = require('fs'); let taken = 0;
       try { for (; taken < 60_000; taken++) fs.openSync(process.cwd() + '/page.html') } catch {}
       return taken;`,
      'filer',
    );
    assert.ok([200, 500, 502].includes(status));
    assert.equal(await rig.result("return 'anew'", 'filer'), 'anew');
  });

  test("opens no Unix socket: not the gateway's link, and none of its own", async () => {
    const link = JSON.stringify(join(rig.gateway.dataDir, 'run/link.sock'));
    const said = (await rig.result(`
      const net = require('net'), http = require('http');
      const wait = (emitter, done) => new Promise((resolve, reject) => emitter.on('error', reject).on(done, () => resolve('open')));
      return [
        await attempt(() => wait(net.connect(${link}), 'connect')),
        await attempt(() => wait(net.connect({ path: '/var/run/docker.sock' }), 'connect')),
        await attempt(() => wait(net.createServer().listen('/tmp/mine.sock'), 'listening')),
        await attempt(() => wait(net.createServer().listen('\\0abstract'), 'listening')),
        await attempt(() => wait(http.get({ socketPath: ${link} }), 'response')),
      ];`)) as string[];
    for (const line of said) assert.match(line, /^refused: EACCES/);
  });

  test('is told nothing by its gateway: the control port asks for a token, by any name', async () => {
    const port = new URL(rig.gateway.adminUrl).port;
    const said = (await rig.result(`
      const ask = (headers, path) => new Promise((resolve, reject) => require('http').get({ host: '127.0.0.1', port: ${port}, path, headers }, (r) => { r.resume(); resolve(r.statusCode) }).on('error', reject));
      return [
        (await fetch('http://127.0.0.1:${port}/v1/functions')).status,
        (await fetch('http://localhost:${port}/v1/tokens', { method: 'POST', body: '{}', headers: { authorization: 'Bearer undefined' } })).status,
        await ask({ host: 'rebound.example' }, '/v1/functions'), await ask({ host: 'rebound.example' }, '/docs'),
        await ask({ host: '127.0.0.1.nip.io' }, '/metrics'),
      ];`)) as number[];
    assert.deepEqual(said, [401, 401, 403, 403, 403]);
  });

  test('signals nobody, opens no inspector and writes no report', async () => {
    const said = (await rig.result(`return Promise.all([
      () => process.kill(process.ppid, 'SIGUSR1'), () => process._debugProcess(process.ppid), () => process.kill(process.pid, 9),
      () => require('inspector').open(0), () => process.report.writeReport('/tmp/x'), () => require('child_process').spawn('id'),
      () => new (require('worker_threads').Worker)('data:text/javascript,1'), () => process.dlopen({ exports: {} }, '/tmp/x.node'),
      () => require('v8').setFlagsFromString('--max-old-space-size=1'), () => require('node:ffi'), () => require('node:sqlite'),
    ].map(attempt))`)) as string[];
    for (const line of said) assert.match(String(line), /^refused: /);
    assert.equal((await fetch(`${rig.gateway.adminUrl}/healthz`)).status, 200);
  });

  test('under network none no connection leaves, by any way', async () => {
    await rig.deployAttacker('offline', { hearth: { network: 'none' } });
    const heard: string[] = [];
    const tcp = net.createServer((socket) => {
      heard.push('tcp');
      socket.destroy();
    });
    tcp.listen(0, '127.0.0.1');
    const udp = dgram.createSocket('udp4', () => heard.push('udp'));
    udp.bind(0, '127.0.0.1');
    await Promise.all([once(tcp, 'listening'), once(udp, 'listening')]);
    const port = (tcp.address() as AddressInfo).port;
    const { port: udpPort } = udp.address();
    try {
      const said = (await rig.result(
        `
        const wait = (emitter, done) => new Promise((resolve, reject) => { emitter.on('error', reject); emitter.on(done, () => resolve('open')) });
        const url = '127.0.0.1:${port}';
        const dns = require('dns'); const resolver = new dns.promises.Resolver({ timeout: 200, tries: 1 });
        return Promise.all(Object.entries({
          net: () => wait(require('net').connect(${port}, '127.0.0.1'), 'connect'),
          tls: () => wait(require('tls').connect(${port}, '127.0.0.1'), 'secureConnect'),
          http: () => wait(require('http').get('http://' + url), 'response'),
          https: () => wait(require('https').get('https://' + url), 'response'),
          http2: () => wait(require('http2').connect('http://' + url), 'connect'),
          fetch: () => fetch('http://' + url),
          webSocket: () => new Promise((resolve, reject) => { const s = new WebSocket('ws://' + url); s.onopen = () => resolve('open'); s.onerror = (e) => reject(e.error ?? new Error('closed')) }),
          udp: () => new Promise((resolve, reject) => { const s = require('dgram').createSocket('udp4').on('error', reject); s.send('x', ${udpPort}, '127.0.0.1', (e) => e ? reject(e) : resolve('sent')) }),
          lookup: () => dns.promises.lookup('localhost'),
          resolve: () => { resolver.setServers(['127.0.0.1:${udpPort}']); return resolver.resolve4('secret.example') },
          listen: () => wait(require('net').createServer().listen(0), 'listening'),
        }).map(async ([name, act]) => [name, await Promise.race([attempt(act), new Promise((resolve) => setTimeout(resolve, 3000, 'silence'))])]));`,
        'offline',
      )) as [string, string][];
      for (const [name, line] of said) assert.match(String(line), /^refused: /, name);
      assert.deepEqual(heard, []);
    } finally {
      tcp.close();
      udp.close();
    }
  });
});
