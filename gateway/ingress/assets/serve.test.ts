import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { VersionEntry } from '../../registry/registry.ts';
import { versionRecord } from '../../registry/testing/records.ts';
import { IngressRequest, IngressResponse } from '../call.ts';
import { PART_BYTES } from './contents.ts';
import type { AssetLibrary } from './library.ts';
import { type AssetRequest, createAssets } from './serve.ts';

const MB = 1024 * 1024;
const SITE = { listing: 'l', files: 2, bytes: 0, alone: true };
const LIBRARY: AssetLibrary = {
  listing: () =>
    new Map([
      ['/large.bin', { hash: 'large', bytes: 64 * MB }],
      ['/small.txt', { hash: 'small', bytes: 5 }],
    ]),
  small: () => Buffer.from('small'),
  part: async () => Buffer.alloc(PART_BYTES),
};

/** A site on a server of its own, whose unread bodies end after so long; and its answers as they begin. */
async function siteFor(t: TestContext, unreadMs: number) {
  const assets = createAssets(LIBRARY, { error: (message) => assert.fail(message) }, unreadMs);
  const record = { ...versionRecord('site', 'v1'), assets: SITE };
  const version = { functionName: 'site', version: 'v1', manifest: record.manifest, record } as unknown as VersionEntry;
  const settings = { html_handling: 'none', not_found_handling: 'none', run_worker_first: false } as const;
  const answers: IngressResponse[] = [];
  const server = createServer({ IncomingMessage: IngressRequest, ServerResponse: IngressResponse }, (req, res) => {
    answers.push(res);
    const request: AssetRequest = {
      ...{ version, settings, pathname: req.url ?? '', query: '', prefix: '', headers: [], hasBody: false },
    };
    assert.ok(assets.serve(request, req, res, () => assert.fail('no function')));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, answers, server };
}

const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`;

test('a body of which nobody takes anything ends with its connection', async (t) => {
  const { port, answers, server } = await siteFor(t, 50);
  const client = connect(port, '127.0.0.1').on('error', () => undefined);
  client.write(get('/large.bin'));
  await once(server, 'request');
  const [answer] = answers;
  if (!answer!.closed) await once(answer!, 'close');
  assert.equal(answer!.writableFinished, false);
  client.destroy();
});

test('a body that was taken leaves its connection to the next request for as long as any other', async (t) => {
  const { port, answers, server } = await siteFor(t, 50);
  server.keepAliveTimeout = 60_000;
  const client = connect(port, '127.0.0.1');
  client.write(get('/small.txt'));
  const { promise: whole, resolve } = Promise.withResolvers<void>();
  client.on('data', (chunk: Buffer) => chunk.toString().endsWith('small') && resolve());
  await whole;
  const [answer] = answers;
  if (!answer!.writableFinished) await once(answer!, 'finish');
  const next = once(server, 'request');
  client.write(get('/none'));
  const [{ socket }] = (await next) as [IngressRequest];
  assert.ok((socket.timeout ?? 0) === 0 || (socket.timeout ?? 0) >= 60_000, String(socket.timeout));
  client.destroy();
});
