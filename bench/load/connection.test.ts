import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { Connection, parseAnswer } from './connection.ts';

const WITH_LENGTH = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer-Timing: run;dur=0.5\r\n\r\nhello';
const CHUNKED = 'HTTP/1.1 503 Service Unavailable\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n';

for (const [kind, whole] of Object.entries({ 'with a length': WITH_LENGTH, chunked: CHUNKED })) {
  test(`an answer ${kind} is complete with its last byte and not before`, () => {
    for (let length = 0; length < whole.length; length++) {
      assert.equal(parseAnswer(Buffer.from(whole.slice(0, length))), null, `complete after ${length} bytes`);
    }
    assert.notEqual(parseAnswer(Buffer.from(whole)), null);
  });
}

test('an answer gives its status and its headers by lower-case names', () => {
  const answer = parseAnswer(Buffer.from(WITH_LENGTH));
  assert.equal(answer?.status, 200);
  assert.equal(answer?.headers.get('server-timing'), 'run;dur=0.5');
});

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
