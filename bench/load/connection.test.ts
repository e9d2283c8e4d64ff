import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { Connection } from './connection.ts';

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

test('one connection carries requests one after another', async () => {
  let connections = 0;
  const server = createServer((request, response) => response.end(request.url));
  server.on('connection', () => {
    connections += 1;
  });
  const connection = new Connection(await listen(server));
  try {
    assert.equal((await connection.get('/a')).status, 200);
    assert.equal((await connection.get('/b')).status, 200);
    assert.equal(connections, 1);
  } finally {
    connection.close();
    server.close();
  }
});

test('a server that hangs up fails the request', async () => {
  const server = createServer((request) => request.socket.destroy());
  const connection = new Connection(await listen(server));
  try {
    await assert.rejects(connection.get('/'));
  } finally {
    connection.close();
    server.close();
  }
});

test('a request carries its method, headers and body, and a large answer is read whole', async () => {
  const server = createServer((request, response) => {
    buffer(request).then(
      (body) => response.end(Buffer.concat([Buffer.from(`${request.method} ${request.headers['x-a']} `), body])),
      (error: unknown) => response.destroy(error as Error),
    );
  });
  const connection = new Connection(await listen(server), { keepBody: true });
  try {
    await connection.opened();
    const small = await connection.request({ method: 'PUT', path: '/', headers: { 'x-a': 'b' }, body: 'text' });
    assert.equal(small.body, 'PUT b text');
    const body = Buffer.alloc(1024 * 1024, 'x');
    const large = await connection.request({ method: 'POST', path: '/', headers: { 'x-a': 'c' }, body });
    assert.equal(large.bodyBytes, body.length + 'POST c '.length);
  } finally {
    connection.close();
    server.close();
  }
});

test('a connection that was closed refuses the next request', async () => {
  const server = createServer((request) => request.socket.destroy());
  const connection = new Connection(await listen(server));
  try {
    await assert.rejects(connection.get('/'));
    await assert.rejects(connection.get('/'));
  } finally {
    connection.close();
    server.close();
  }
});
