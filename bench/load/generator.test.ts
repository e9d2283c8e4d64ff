import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { Job } from './generator.ts';
import { runLoad } from './run.ts';

async function served(listener: RequestListener, job: Omit<Job, 'port'>) {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    return await runLoad({ ...job, port: (server.address() as AddressInfo).port });
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const OPEN = { connections: 4, warmupMs: 0, durationMs: 200 };

test('an open loop sends each request that was due, to its paths in turn, and says how late it was itself', async () => {
  const paths: string[] = [];
  const result = await served(
    (request, response) => {
      paths.push(request.url ?? '');
      response.end();
    },
    { ...OPEN, paths: ['/a', '/b'], rate: 100, keepSamples: true },
  );
  assert.equal(result.requests, 20);
  assert.equal(result.errors, 0);
  assert.deepEqual([paths.filter((path) => path === '/a').length, paths.length], [10, 20]);
  assert.equal(result.samplesUs?.length, 20);
  assert.ok((result.lag?.max ?? 0) > 0);
});

test('a stall is seen by all requests that it made wait', async () => {
  const result = await served(
    (_request, response) => {
      setTimeout(() => response.end(), 100);
    },
    { ...OPEN, paths: ['/'], connections: 1, rate: 20 },
  );
  assert.equal(result.requests, 4);
  // Four answers of 100 ms one after another, due 50 ms apart: the last waits for three before it.
  assert.ok(result.latency.max >= 250_000, `${result.latency.max} µs`);
});

test('errors are counted by status, and a connection that breaks is replaced', async () => {
  let count = 0;
  const result = await served(
    (request, response) => {
      count += 1;
      if (count % 3 === 0) request.socket.destroy();
      else response.writeHead(count % 3 === 1 ? 200 : 503).end();
    },
    { ...OPEN, paths: ['/'], connections: 1, rate: 45 },
  );
  assert.equal(result.requests, 3);
  assert.deepEqual(result.errorsBy, { '503': 3, connection: 3 });
  assert.equal(result.errors, 6);
});

test('bodies are sent with each request', async () => {
  let bytes = 0;
  const result = await served(
    (request, response) => {
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      request.on('end', () => response.end());
    },
    { ...OPEN, paths: ['/'], method: 'POST', bodyBytes: 100_000, rate: 50 },
  );
  assert.equal(bytes, result.requests * 100_000);
});

test('a closed loop asks until its time is over', async () => {
  const result = await served((_request, response) => response.end('hello'), { ...OPEN, paths: ['/'] });
  assert.ok(result.requests > 0);
  assert.equal(result.lag, null);
});
