/**
 * Messages into a queue, open loop, and every accepted one out of it: the consumer notes each id, and the end compares.
 * Delivery is at least once, so an id may be noted twice; none may be missing.
 */
import { check, fail, sleep } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter, Trend } from 'k6/metrics';
import { api, deploy, ms, openLoop, remove, URL } from './hearth.js';

const unhandled = new Counter('queue_unhandled');
const accept = new Trend('queue_accept', true);
const delay = new Trend('queue_delay', true);

export const options = {
  scenarios: { queue: openLoop(50) },
  teardownTimeout: '120s',
  thresholds: {
    checks: ['rate==1'],
    // Accepted ones are added, handled ones taken off: nothing may be left.
    queue_unhandled: ['count==0'],
    queue_accept: [`p(95)<${ms('ACCEPT_P95_MS', 100)}`],
    queue_delay: [`p(95)<${ms('DELAY_P95_MS', 5000)}`],
    dropped_iterations: ['count==0'],
  },
};

const NAME = 'k6-queue';
const PER_CALL = 5;

const CONSUMER = `
export default {
  async queue(batch, env) {
    await Promise.all(batch.messages.map((message) =>
      env.SEEN.put(message.body.run + '/' + message.body.id, '', { metadata: Date.now() - message.timestamp.getTime() })));
  },
  async fetch(request, env) {
    const url = new URL(request.url);
    const cursor = url.searchParams.get('cursor') ?? undefined;
    const page = await env.SEEN.list({ prefix: url.searchParams.get('run') + '/', cursor });
    return Response.json({ delays: page.keys.map((key) => key.metadata), cursor: page.list_complete ? null : page.cursor });
  },
};`;

export function setup() {
  deploy(NAME, CONSUMER, {
    kv_namespaces: [{ binding: 'SEEN', id: NAME }],
    queues: { consumers: [{ queue: NAME, max_batch_size: 50, max_batch_timeout: 1 }] },
  });
  return { run: String(Date.now()) };
}

export default function iteration({ run }) {
  const first = exec.scenario.iterationInTest * PER_CALL;
  const messages = Array.from({ length: PER_CALL }, (_, index) => ({ body: { run, id: first + index } }));
  const answer = api('POST', `/v1/queues/${NAME}/messages`, { messages });
  if (check(answer, { 'messages are accepted': (r) => r.status === 202 })) unhandled.add(PER_CALL);
  accept.add(answer.timings.duration);
}

export function teardown({ run }) {
  let depth = -1;
  for (let attempt = 0; attempt < 100 && depth !== 0; attempt++) {
    sleep(0.5);
    depth = api('GET', `/v1/queues/${NAME}`).json('depth');
  }
  if (depth !== 0) fail(`${depth} messages are still in the queue after 50 s`);
  let cursor = null;
  do {
    const more = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const page = http.get(`${URL}/${NAME}?run=${run}${more}`).json();
    unhandled.add(-page.delays.length);
    for (const one of page.delays) delay.add(one);
    cursor = page.cursor;
  } while (cursor !== null);
  remove([NAME]);
}
