/**
 * A cron of every second beside manual triggers, open loop. The function notes how late each run began; the end counts
 * the runs and looks for seconds that were left out.
 */
import { check, fail } from 'k6';
import http from 'k6/http';
import { Counter, Trend } from 'k6/metrics';
import { api, deploy, ms, openLoop, remove, URL } from './hearth.js';

const late = new Trend('cron_late', true);
const gaps = new Counter('cron_gaps');
const runs = new Counter('cron_runs');

export const options = {
  scenarios: { cron: openLoop(5, 50) },
  thresholds: {
    checks: ['rate==1'],
    cron_runs: ['count>0'],
    cron_gaps: ['count==0'],
    cron_late: [`p(95)<${ms('LATE_P95_MS', 500)}`],
    http_req_failed: ['rate==0'],
    dropped_iterations: ['count==0'],
  },
};

const NAME = 'k6-cron';
const EVERY_SECOND = '* * * * * *';

const FUNCTION = `
export default {
  async scheduled(controller, env) {
    if (controller.cron !== '${EVERY_SECOND}') return;
    const late = Date.now() - controller.scheduledTime;
    await env.RUNS.put(String(controller.scheduledTime), '', { metadata: late, expirationTtl: 3600 });
  },
  async fetch(request, env) {
    const from = Number(new URL(request.url).searchParams.get('from'));
    const page = await env.RUNS.list({ limit: 1000 });
    return Response.json(page.keys.map((key) => ({ at: Number(key.name), late: key.metadata })).filter(({ at }) => at >= from));
  },
};`;

export function setup() {
  deploy(NAME, FUNCTION, {
    triggers: { crons: [EVERY_SECOND] },
    kv_namespaces: [{ binding: 'RUNS', id: `${NAME}-${Date.now()}` }],
    // A run that outlasts its second must not hide the next one.
    hearth: { overlap: 'allow' },
  });
  return { from: Date.now() };
}

export default function iteration() {
  // An expression of its own tells these runs from those of the clock.
  const answer = api('POST', `/v1/functions/${NAME}/invoke`, { trigger: 'cron', cron: '0 0 1 1 *' });
  check(answer, { 'manual trigger answers 200': (r) => r.status === 200 });
}

export function teardown({ from }) {
  const seen = http.get(`${URL}/${NAME}?from=${from}`).json();
  if (seen.length === 0) fail('the cron never ran');
  seen.sort((a, b) => a.at - b.at);
  for (const [index, run] of seen.entries()) {
    runs.add(1);
    late.add(run.late);
    if (index > 0) gaps.add((run.at - seen[index - 1].at) / 1000 - 1);
  }
  remove([NAME]);
}
