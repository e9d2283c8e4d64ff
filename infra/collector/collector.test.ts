/** The collector's configuration in a real collector: what a gateway sends comes out where the backend is. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { startOtlpReceiver } from '../../gateway/telemetry/testing/otlp-receiver.ts';
import { startGateway } from '../../gateway/testing/gateway.ts';

const CONFIG = join(import.meta.dirname, 'config.yaml');
const BINARY = join(import.meta.dirname, '../../.bin/otelcol');
const skip = existsSync(BINARY) ? false : 'no collector: run infra/collector/build.sh (needs Go)';

test('the collector takes its configuration', { skip }, async () => {
  await promisify(execFile)(BINARY, ['validate', `--config=${CONFIG}`]);
  const wrong = promisify(execFile)(BINARY, ['validate', `--config=${CONFIG}`, '--config=yaml:exporters::nothing: {}']);
  await assert.rejects(wrong);
});

test('a call of a function comes out of the collector as a trace', { skip }, async () => {
  await using backend = await startOtlpReceiver();
  const port = await freePort();
  await using _collector = await startCollector({
    OTLP_LISTEN: `127.0.0.1:${port}`,
    TRACES_ENDPOINT: backend.url,
  });
  await using gateway = await startGateway({
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      OTEL_METRICS_EXPORTER: 'none',
      OTEL_BSP_SCHEDULE_DELAY: '100',
    },
  });
  await gateway.deploy('traced', 'export default { fetch: () => new Response("x") }');
  const answer = await fetch(`${gateway.url}/traced`);
  const id = answer.headers.get('hearth-invocation-id');
  assert.ok(id !== null);
  const spans = await backend.waitForSpans(
    (received) => received.some(({ attributes }) => attributes['faas.invocation_id'] === id),
    AbortSignal.timeout(60_000),
  );
  const served = spans.find(({ attributes }) => attributes['faas.invocation_id'] === id);
  assert.equal(served?.attributes['faas.name'], 'traced');
  assert.equal(served?.resource['service.name'], 'hearth');
});

async function startCollector(env: Record<string, string>): Promise<AsyncDisposable> {
  const child = spawn(BINARY, [`--config=${CONFIG}`], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'close');
  let said = '';
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`the collector is not ready:\n${said}`)), 60_000);
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (!said.includes('Everything is ready')) return;
      clearTimeout(late);
      resolve();
    });
    ended.then(() => reject(new Error(`the collector ended:\n${said}`)), reject);
  }).catch((error: unknown) => {
    child.kill('SIGKILL');
    throw error;
  });
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 20_000);
      await ended;
      clearTimeout(late);
    },
  };
}

/** Freed again at once: the collector cannot say which port it took. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}
