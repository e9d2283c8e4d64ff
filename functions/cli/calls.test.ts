/** Calling functions: asynchronously, and over and over. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startGateway, type TestGateway } from '../../gateway/testing/gateway.ts';
import { hearthOf } from './testing/hearth.ts';

const SOURCE = `export default {
  fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === '/throw') throw new TypeError('on purpose');
    return new Response('made ' + pathname, { status: pathname === '/teapot' ? 418 : 200 });
  },
};`;

let gateway: TestGateway;
let cli: ReturnType<typeof hearthOf>;

before(async () => {
  gateway = await startGateway();
  cli = hearthOf(gateway, { cwd: gateway.dataDir });
  await gateway.deploy('maker', SOURCE, { manifest: { hearth: { async: { retries: 0 } } } });
});

after(async () => {
  await gateway?.[Symbol.asyncDispose]();
});

test('an asynchronous call prints its id alone, and is waited for when asked', async () => {
  const sent = await cli.run('invoke', 'maker', '/a', '--async');
  assert.equal(sent.code, 0, sent.stderr);
  assert.match(sent.stdout, /^[0-9a-z-]{16,}\n$/);
  const kept = await gateway.api<{ id: string }>('GET', `/v1/invocations/${sent.stdout.trim()}`);
  assert.equal(kept.body.id, sent.stdout.trim());

  const waited = await cli.run('invoke', 'maker', '/b', '--async', '--wait');
  assert.equal(waited.code, 0, waited.stderr);
  assert.equal(waited.stdout, 'made /b');
  const json = await cli.json<{ state: string; result: { body: string } }>('invoke', 'maker', '--async', '--wait');
  assert.deepEqual([json.state, json.result.body], ['ok', 'made /']);

  const failed = await cli.run('invoke', 'maker', '/throw', '--async', '--wait');
  assert.equal(failed.code, 1);
  assert.match(
    failed.stderr,
    /FUNCTION_EXCEPTION, after 1 attempt\)\n {2}→ Read its log: hearth logs maker --invocation \S+/,
  );
  assert.equal((await cli.run('invoke', 'maker', '--wait')).code, 2);
});

test('a benchmark tells latencies, cold starts and statuses, of a function and of a URL', async () => {
  const few = ['--duration', '0.3', '-c', '2'];
  await gateway.api('POST', '/v1/functions/maker/evict');
  const of = await cli.json<{
    requests: number;
    coldStarts: number;
    statuses: object;
    latencyMs: { p50: number; p99: number };
  }>(...['bench', 'maker', '/teapot', ...few]);
  assert.ok(of.requests > 0 && of.coldStarts > 0, JSON.stringify(of));
  assert.deepEqual(of.statuses, { 418: of.requests });
  assert.ok(of.latencyMs.p50 <= of.latencyMs.p99);

  const url = await cli.run('bench', `${gateway.url}/maker`, ...few, '--rate', '20', '-d', 'x');
  assert.equal(url.code, 0, url.stderr);
  assert.match(
    url.stdout,
    /^answers +\d+, \d+ a second\np50 +.* ms\np95 +.* ms\np99 +.* ms\nmax +.* ms\ncold starts +0\n/,
  );
  assert.match(url.stdout, /^status +\d+ × 200\nno answer +-$/m);
});

test('a benchmark of nothing fails, and one without a duration is usage', async () => {
  const nobody = await cli.run('bench', 'http://127.0.0.1:1/', '--duration', '0.1');
  assert.equal(nobody.code, 1);
  assert.match(nobody.stderr, /Not one call of http:\/\/127\.0\.0\.1:1\/ was answered \(ECONNREFUSED\)/);
  assert.equal((await cli.run('bench', 'maker', '--duration', '0')).code, 2);
  const unknown = await cli.run('bench', 'nothing-there');
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /NOT_FOUND/);
});
