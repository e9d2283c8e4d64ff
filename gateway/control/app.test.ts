/** Bodies as clients really send them, on the real listener. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { createLogger } from '../telemetry/log.ts';
import { createControlApp } from './app.ts';
import type { Listener } from './listener.ts';
import { createControlServer } from './server.ts';

describe('bodies of control calls', () => {
  let server: Listener;
  let port: number;

  before(async () => {
    const app = createControlApp({
      access: {
        authenticate: () => ({ id: 'admin', admin: true, scopes: [], trustGroups: [], routes: [] }),
        create: () => assert.fail(),
        list: () => [],
        refresh: async () => undefined,
        revoke: () => assert.fail(),
      },
      log: createLogger({ level: 'silent', pretty: false, write: () => undefined }),
      hosts: null,
      maxDeployBytes: 1024,
      open: () => undefined,
      resources: [
        (routes) => {
          routes.post('/v1/echo', async (c) => c.text(`got ${await c.req.text()}`));
          routes.put('/v1/functions/:name', async (c) => c.text(`got ${await c.req.text()}`));
        },
      ],
    });
    server = createControlServer(app, '127.0.0.1', 0);
    ({ port } = await server.listen());
  });
  after(() => {
    server.kill();
    return server.close();
  });

  /** The whole answer to a request given byte by byte: HTTP clients would add headers. */
  async function raw(request: string): Promise<string> {
    const socket = connect(port, '127.0.0.1');
    socket.write(request.replaceAll('\n', '\r\n'));
    let answer = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      answer += text;
    });
    await once(socket, 'end');
    socket.destroy();
    return answer;
  }

  const head = (line: string, ...headers: string[]) =>
    [line, 'host: localhost', 'connection: close', ...headers, '', ''].join('\n');

  test('a POST without a body and without a length, as curl sends it, is taken', async () => {
    assert.match(await raw(head('POST /v1/echo HTTP/1.1')), /^HTTP\/1\.1 200 [\s\S]*got /);
  });

  test('a chunked body is taken whole', async () => {
    const answer = await raw(`${head('POST /v1/echo HTTP/1.1', 'transfer-encoding: chunked')}3\nabc\n2\nde\n0\n\n`);
    assert.match(answer, /got abcde/);
  });

  test('a deploy over its limit is refused, with a length or without', async () => {
    const long = 'x'.repeat(1025);
    const line = 'PUT /v1/functions/hi HTTP/1.1';
    assert.match(await raw(`${head(line, `content-length: ${long.length}`)}${long}`), /413[\s\S]*PAYLOAD_TOO_LARGE/);
    const chunk = long.length.toString(16);
    assert.match(await raw(`${head(line, 'transfer-encoding: chunked')}${chunk}\n${long}\n0\n\n`), /413[\s\S]*PAYLOAD/);
    assert.match(await raw(`${head(line, 'content-length: 3')}abc`), /got abc/);
  });
});
