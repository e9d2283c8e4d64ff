import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import { createAddressCheck } from '../addresses.ts';
import { createSources } from './sources.ts';

const MOST = 64 * 1024;

function refuses(code: string, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof HearthError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
}

const sourcesOf = (allowed: string[], timeoutMs = 10_000) => createSources({ allowed, mostBytes: MOST, timeoutMs });

describe('addresses', () => {
  const check = createAddressCheck(true);

  test('of this machine, its link and the metadata services are refused, in every spelling', () => {
    for (const address of [
      '127.0.0.1',
      '127.255.1.2',
      '0.0.0.0',
      '::1',
      '::',
      '::ffff:127.0.0.1',
      '::127.0.0.1',
      '64:ff9b::7f00:1',
      '2002:7f00:1::',
      '169.254.169.254',
      '::ffff:a9fe:a9fe',
      'fe80::1',
      'fe80::1%eth0',
      'fd00:ec2::254',
      '100.100.100.200',
      '168.63.129.16',
      '224.0.0.1',
      '255.255.255.255',
      'ff02::1',
      'not an address',
    ]) {
      assert.equal(check(address), false, address);
    }
  });

  test('elsewhere are fetched from, private networks too: artifact stores stand there', () => {
    for (const address of ['93.184.216.34', '10.1.2.3', '192.168.0.7', '172.16.0.1', 'fd12::7', '2606:4700::1111']) {
      assert.equal(check(address), true, address);
    }
  });
});

describe('modules from files', () => {
  let top: string;
  let allowed: string;
  before(() => {
    top = mkdtempSync(join(tmpdir(), 'hearth-sources-'));
    allowed = join(top, 'modules');
    mkdirSync(join(allowed, 'team/deep'), { recursive: true });
    writeFileSync(join(allowed, 'a b#1.ts'), 'code');
    writeFileSync(join(allowed, 'team/deep/b-1.0.0.zip'), 'zip');
    writeFileSync(join(allowed, 'team/a-1.0.0.zip'), 'zip');
    writeFileSync(join(allowed, 'big.ts'), Buffer.alloc(MOST + 1));
    writeFileSync(join(top, 'secret.ts'), 'secret');
    mkdirSync(join(top, 'modules-of-others'));
    writeFileSync(join(top, 'modules-of-others/x.ts'), 'theirs');
    symlinkSync('../secret.ts', join(allowed, 'link.ts'));
    symlinkSync('team/a-1.0.0.zip', join(allowed, 'inner.zip'));
    symlinkSync('..', join(allowed, 'up'));
    execFileSync('mkfifo', [join(allowed, 'fifo.ts')]);
  });
  after(() => rmSync(top, { recursive: true, force: true }));
  const url = (path: string) => `file://${encodeURI(join(top, path)).replaceAll('#', '%23')}`;

  test('are read below a directory that was named', async () => {
    const sources = sourcesOf([allowed]);
    const { bytes, fileName } = await sources.read(url('modules/a b#1.ts'));
    assert.equal(bytes.toString(), 'code');
    assert.equal(fileName, 'a b#1.ts');
    assert.equal((await sources.read(url('modules/inner.zip'))).bytes.toString(), 'zip');
  });

  test('are not read elsewhere, by dots, links, or a name that begins alike; nor is it told what stands there', async () => {
    const sources = sourcesOf([allowed]);
    for (const path of [
      'secret.ts',
      'modules/../secret.ts',
      'modules/%2e%2e/secret.ts',
      'modules/link.ts',
      'modules/up/secret.ts',
      'modules-of-others/x.ts',
      'absent.ts',
      'absent/absent.ts',
    ]) {
      await assert.rejects(
        sources.read(`file://${join(top, 'x').slice(0, -1)}${path}`),
        refuses('FORBIDDEN', /is not below/),
        path,
      );
    }
    await assert.rejects(sourcesOf([]).read(url('modules/big.ts')), refuses('FORBIDDEN', /none is named/));
    await assert.rejects(
      sources.read('file://elsewhere/modules/a.ts'),
      refuses('BAD_REQUEST', /no path of this machine/),
    );
  });

  test('that are no files, absent or too large are refused', async () => {
    const sources = sourcesOf([allowed]);
    await assert.rejects(sources.read(url('modules/absent.ts')), refuses('BAD_REQUEST', /cannot be read \(ENOENT\)/));
    await assert.rejects(sources.read(url('modules/team')), refuses('BAD_REQUEST', /no regular file/));
    await assert.rejects(sources.read(url('modules/fifo.ts')), refuses('BAD_REQUEST', /no regular file/));
    await assert.rejects(sources.read(url('modules/big.ts')), refuses('PAYLOAD_TOO_LARGE', /HEARTH_MAX_DEPLOY_MB/));
  });

  test('are listed below a directory in the order of their paths, links left out', async () => {
    const sources = sourcesOf([allowed]);
    const zips = (name: string) => name.endsWith('.zip');
    assert.deepEqual(await sources.list(allowed, zips), [
      url('modules/team/a-1.0.0.zip'),
      url('modules/team/deep/b-1.0.0.zip'),
    ]);
    assert.deepEqual(await sources.list(join(allowed, 'team/deep'), zips), [url('modules/team/deep/b-1.0.0.zip')]);
    await assert.rejects(sources.list(top, zips), refuses('FORBIDDEN', /is not below/));
    await assert.rejects(sources.list('modules', zips), refuses('BAD_REQUEST', /absolute/));
    await assert.rejects(sources.list(join(allowed, 'absent'), zips), refuses('BAD_REQUEST', /ENOENT/));
    await assert.rejects(sources.list(join(allowed, 'big.ts'), zips), refuses('BAD_REQUEST', /ENOTDIR/));
  });
});

describe('modules from the network', () => {
  const servers: Server[] = [];
  async function serve(listener: RequestListener): Promise<string> {
    const server = createServer(listener);
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  after(() => {
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
  });

  test('are fetched, over redirects too, from a host that was named', async () => {
    const host = await serve((request, response) => {
      if (request.url === '/old.zip') response.writeHead(302, { location: '/blob?x=1' }).end();
      else response.end(`${request.url} ${request.headers.authorization ?? ''}`);
    });
    const sources = sourcesOf([host]);
    const { bytes, fileName } = await sources.read(`http://user:pass@${host}/m%20x.ts`);
    assert.equal(bytes.toString(), `/m%20x.ts Basic ${Buffer.from('user:pass').toString('base64')}`);
    assert.equal(fileName, 'm x.ts');
    const redirected = await sources.read(`http://${host}/old.zip`);
    assert.equal(redirected.bytes.toString(), '/blob?x=1 ');
    assert.equal(redirected.fileName, 'old.zip');
  });

  test('are not fetched from this machine otherwise, by address, by name, or by a redirect', async () => {
    let asked = 0;
    const inner = await serve((_request, response) => {
      asked += 1;
      response.end('inner');
    });
    const port = inner.split(':')[1];
    const outer = await serve((_request, response) =>
      response.writeHead(302, { location: `http://localhost:${port}/` }).end(),
    );
    const sources = sourcesOf([outer]);
    for (const host of [
      inner,
      `localhost:${port}`,
      `127.1:${port}`,
      `0x7f.1:${port}`,
      `2130706433:${port}`,
      `[::ffff:127.0.0.1]:${port}`,
      `0.0.0.0:${port}`,
    ]) {
      await assert.rejects(sources.read(`http://${host}/`), refuses('FORBIDDEN', /HEARTH_ARKLET_SOURCES/), host);
    }
    await assert.rejects(sources.read(`http://${outer}/`), refuses('FORBIDDEN', /localhost is at (127\.0\.0\.1|::1)/));
    await assert.rejects(sources.read('http://169.254.169.254/latest/meta-data'), refuses('FORBIDDEN', /169\.254/));
    assert.equal(asked, 0);
  });

  test('are refused when the answer is another, too long, or broken off', async () => {
    const host = await serve((request, response) => {
      if (request.url === '/404') response.writeHead(404).end();
      else if (request.url === '/loop') response.writeHead(302, { location: '/loop' }).end();
      else if (request.url === '/file') response.writeHead(302, { location: 'file:///etc/passwd' }).end();
      else if (request.url === '/declared') response.writeHead(200, { 'content-length': MOST + 1 }).write('x');
      else if (request.url === '/endless') {
        const more = (): void => {
          while (!response.destroyed && response.write(Buffer.alloc(16 * 1024)));
        };
        response.on('drain', more);
        more();
      } else {
        response.writeHead(200, { 'content-length': 100 }).write('x');
        response.destroy();
      }
    });
    const sources = sourcesOf([host]);
    const read = (path: string) => sources.read(`http://${host}${path}`);
    await assert.rejects(read('/404'), refuses('BAD_REQUEST', /answered 404/));
    await assert.rejects(read('/loop'), refuses('BAD_REQUEST', /more than 5 times/));
    await assert.rejects(read('/file'), refuses('BAD_REQUEST', /redirects to a file: URL/));
    await assert.rejects(read('/declared'), refuses('PAYLOAD_TOO_LARGE', /HEARTH_MAX_DEPLOY_MB/));
    await assert.rejects(read('/endless'), refuses('PAYLOAD_TOO_LARGE', /HEARTH_MAX_DEPLOY_MB/));
    await assert.rejects(read('/broken'), refuses('BAD_REQUEST', /could not be fetched/));
  });

  test('that do not come in time are given up', async () => {
    const host = await serve((request, response) => {
      if (request.url === '/head') response.writeHead(200).write('x');
    });
    const sources = sourcesOf([host], 100);
    await assert.rejects(sources.read(`http://${host}/never`), refuses('BAD_REQUEST', /took too long/));
    await assert.rejects(sources.read(`http://${host}/head`), refuses('BAD_REQUEST', /took too long/));
  });

  test('of other schemes, and what is no URL, are refused', async () => {
    for (const bad of ['', 'shop.zip', '/srv/shop.zip', 'ftp://repo.example/x.zip', 'data:text/plain,x']) {
      await assert.rejects(
        sourcesOf(['repo.example']).read(bad),
        refuses('BAD_REQUEST', /http:, https: or file:/),
        bad,
      );
    }
  });
});
