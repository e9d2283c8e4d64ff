/** Callbacks over real sockets: what they send, and whom they never reach. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { HearthError } from '../../../functions/contract/errors.ts';
import { createAddressCheck, type Resolve } from '../../addresses.ts';
import { createCallback } from './callback.ts';

const BODY = Buffer.from('{"a":"ä"}');
const LATE_MS = 30_000;

async function listen(t: TestContext, answer: RequestListener): Promise<{ port: number; seen: IncomingMessage[] }> {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    answer(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, seen };
}

/** Everything resolves to this. */
function resolvesTo(...addresses: string[]): Resolve {
  return (_host, _options, answer) =>
    answer(
      null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
}

const anywhere = () => true;

test('a callback is one POST of JSON, and 2xx is taken for delivered', async (t) => {
  const bodies: string[] = [];
  const { port, seen } = await listen(t, async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    bodies.push(Buffer.concat(chunks).toString());
    response.writeHead(202).end();
  });
  const callback = createCallback({ allowed: anywhere, timeoutMs: LATE_MS, resolve: resolvesTo('127.0.0.1') });
  await callback(`http://hook.example:${port}/a?b=c`, { 'hearth-attempt': '2' }, BODY);
  const [request] = seen;
  assert.deepEqual([request?.method, request?.url], ['POST', '/a?b=c']);
  assert.deepEqual(bodies, [BODY.toString()]);
  assert.equal(request?.headers.host, `hook.example:${port}`);
  assert.equal(request?.headers['content-type'], 'application/json');
  assert.equal(request?.headers['hearth-attempt'], '2');
});

test('a redirect is not followed, and any other status is a failure', async (t) => {
  const other = await listen(t, (_request, response) => response.writeHead(200).end());
  const { port, seen } = await listen(t, (request, response) => {
    if (request.url === '/moved') response.writeHead(307, { location: `http://127.0.0.1:${other.port}/` }).end();
    else response.writeHead(Number(request.url?.slice(1))).end();
  });
  const callback = createCallback({ allowed: anywhere, timeoutMs: LATE_MS });
  await assert.rejects(callback(`http://127.0.0.1:${port}/moved`, {}, BODY), /answered 307$/);
  for (const status of [304, 404, 500]) {
    await assert.rejects(callback(`http://127.0.0.1:${port}/${status}`, {}, BODY), new RegExp(`answered ${status}$`));
  }
  assert.equal(other.seen.length, 0);
  assert.equal(seen.length, 4);
});

test('an answer without end holds nothing up, and one that never comes ends in time', async (t) => {
  const { port } = await listen(t, (request, response) => {
    if (request.url === '/silent') return;
    response.writeHead(200);
    const more = () => {
      while (response.writable && response.write('x'.repeat(65_536)));
    };
    response.on('drain', more);
    more();
  });
  await createCallback({ allowed: anywhere, timeoutMs: LATE_MS })(`http://127.0.0.1:${port}/endless`, {}, BODY);
  const impatient = createCallback({ allowed: anywhere, timeoutMs: 50 });
  await assert.rejects(impatient(`http://127.0.0.1:${port}/silent`, {}, BODY), /did not answer in time$/);
});

test('nobody there is an error like any other, to be tried again', async (t) => {
  const { port } = await listen(t, (request) => request.socket.destroy());
  const callback = createCallback({ allowed: anywhere, timeoutMs: LATE_MS });
  await assert.rejects(
    callback(`http://127.0.0.1:${port}/`, {}, BODY),
    (error: unknown) => error instanceof Error && !(error instanceof HearthError),
  );
  const nowhere: Resolve = (_host, _options, answer) => answer(Object.assign(new Error('ENOTFOUND'), {}), []);
  const lost = createCallback({ allowed: anywhere, timeoutMs: LATE_MS, resolve: nowhere });
  await assert.rejects(lost('http://no.example/', {}, BODY), /ENOTFOUND/);
});

describe('a callback never reaches this machine', () => {
  const forbidden = (error: unknown) => error instanceof HearthError && error.code === 'FORBIDDEN';

  for (const host of [
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0177.0.0.1',
    '0x7f.0.0.1',
    '0x7f000001',
    '0.0.0.0',
    '0',
    '[::]',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[0:0:0:0:0:ffff:127.0.0.1]',
    '[::127.0.0.1]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
    '[::ffff:0:7f00:1]',
    '[2001:0:7f00:1::]',
    '１２７.０.０.１',
    '127.0.0.1.',
  ]) {
    test(`written ${host}`, async (t) => {
      const { port, seen } = await listen(t, (_request, response) => response.writeHead(200).end());
      const callback = createCallback({ allowed: createAddressCheck(true), timeoutMs: LATE_MS });
      await assert.rejects(callback(`http://${host}:${port}/`, {}, BODY), forbidden);
      assert.equal(seen.length, 0);
    });
  }

  for (const addresses of [
    ['127.0.0.1'],
    ['::1'],
    ['169.254.169.254'],
    ['fe80::1'],
    ['fd00:ec2::254'],
    ['224.0.0.1'],
    ['ff02::1'],
    ['93.184.216.34', '127.0.0.1'],
  ]) {
    test(`by a name that resolves to ${addresses.join(' and ')}`, async (t) => {
      const { port, seen } = await listen(t, (_request, response) => response.writeHead(200).end());
      const resolve = resolvesTo(...addresses);
      const callback = createCallback({ allowed: createAddressCheck(true), timeoutMs: LATE_MS, resolve });
      await assert.rejects(callback(`http://hook.example:${port}/`, {}, BODY), forbidden);
      assert.equal(seen.length, 0);
    });
  }

  test('by a name that resolves to somewhere else when it is looked up once more', async (t) => {
    const { port, seen } = await listen(t, (_request, response) => response.writeHead(200).end());
    let lookups = 0;
    const rebinding: Resolve = (host, options, answer) => {
      lookups += 1;
      resolvesTo(lookups === 1 ? '93.184.216.34' : '127.0.0.1')(host, options, answer);
    };
    const asked: string[] = [];
    const callback = createCallback({
      // Of the first address it is enough that it was checked: nothing is sent to a stranger from here.
      allowed: (address) => {
        asked.push(address);
        return lookups > 1 && createAddressCheck(true)(address);
      },
      timeoutMs: LATE_MS,
      resolve: rebinding,
    });
    for (let i = 0; i < 2; i++) await assert.rejects(callback(`http://hook.example:${port}/`, {}, BODY), forbidden);
    assert.deepEqual(asked, ['93.184.216.34', '127.0.0.1'], 'each connection is looked up and checked by itself');
    assert.equal(seen.length, 0);
  });

  test('nor a private network, unless that was allowed', () => {
    const [strict, lenient] = [createAddressCheck(false), createAddressCheck(true)];
    for (const address of [
      '10.1.2.3',
      '172.16.0.1',
      '172.31.255.255',
      '192.168.1.1',
      '100.64.0.1',
      '198.18.0.1',
      '::ffff:10.0.0.1',
      'fd12::1',
      'fec0::1',
    ]) {
      assert.equal(strict(address), false, address);
      assert.equal(lenient(address), true, address);
    }
    for (const address of ['93.184.216.34', '172.32.0.1', '100.128.0.1', '2606:4700::1111']) {
      assert.equal(strict(address), true, address);
    }
    for (const address of ['192.0.0.192', '100.100.100.200', '168.63.129.16', '64:ff9b:1::7f00:1', 'fd00:ec2::254']) {
      assert.equal(lenient(address), false, address);
    }
  });
});
