/** A function that takes down hosts, as its callers, its owner and its queue see it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startGateway } from '../testing/gateway.ts';

/** Neither interrupted nor ended, so that its host has to go. */
const KILLER = `
const bomb = () => { const a = []; for (;;) a.push({ x: new Array(100).fill(1) }) };
export default {
  fetch: (request) => new URL(request.url).pathname === '/bomb' ? bomb() : new Response('version 1'),
  queue() { console.log('a batch') },
}`;
const MENDED = KILLER.replace('bomb() :', 'new Response("mended") :').replace('version 1', 'version 2');

const manifest = {
  name: 'killer',
  main: 'index.ts',
  queues: { consumers: [{ queue: 'letters', max_batch_timeout: 0 }] },
  hearth: { memoryMb: 64 },
};

interface Problem {
  code: string;
  detail: string;
}
interface Events {
  events: { subject: string; what: string; function?: string }[];
}
interface Queue {
  depth: number;
  dead?: number;
}

test('three hosts within a minute: callers hear 429, the queue waits, a mended version is served', async () => {
  await using gateway = await startGateway();
  await gateway.deploy('killer', { 'index.ts': KILLER }, { manifest });
  await gateway.deploy('well', 'export default { fetch: () => new Response("well") }', {
    manifest: { name: 'well', main: 'index.ts', hearth: { trustGroup: 'others' } },
  });

  const events = async () => (await gateway.api<Events>('GET', '/v1/pool/events?limit=1000')).body.events;
  const late = AbortSignal.timeout(90_000);
  for (let host = 1; host <= 3; host++) {
    const response = await fetch(`${gateway.url}/killer/bomb`);
    const { code, detail } = (await response.json()) as Problem;
    assert.deepEqual([response.status, code], [502, 'FUNCTION_CRASHED'], detail);
    assert.match(detail, /memory limit of 64 MB/);
    assert.equal(await (await fetch(`${gateway.url}/well`)).text(), 'well');
    // The caller is told first, the host's end is seen a moment later.
    while ((await events()).filter(({ subject, what }) => subject === 'host' && what === 'killed').length < host)
      await delay(10, null, { signal: late });
  }

  const refused = await fetch(`${gateway.url}/killer`);
  const problem = (await refused.json()) as Problem;
  assert.deepEqual([refused.status, problem.code], [429, 'OVERLOADED']);
  assert.match(problem.detail, /quarantine.*took down 3 hosts/);
  assert.ok(Number(refused.headers.get('retry-after')) > 60);
  const seen = await events();
  assert.ok(seen.some((event) => event.what === 'quarantined' && event.function === 'killer'));
  assert.equal(await (await fetch(`${gateway.url}/well`)).text(), 'well');

  const sent = await gateway.api('POST', '/v1/queues/letters/messages', { messages: [{ id: 'one', body: 1 }] });
  assert.equal(sent.status, 202);
  assert.equal((await gateway.api<Queue>('GET', '/v1/queues/letters')).body.depth, 1);

  await gateway.deploy('killer', { 'index.ts': MENDED }, { manifest });
  assert.equal(await (await fetch(`${gateway.url}/killer/bomb`)).text(), 'mended');
  assert.deepEqual((await gateway.api<{ messages: unknown[] }>('GET', '/v1/queues/letters/dead')).body.messages, []);
});
