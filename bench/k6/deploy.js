/** Deploys beside traffic, open loop: each one sends new code and then asks whether it is what answers. */
import { check } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { Trend } from 'k6/metrics';
import { api, ms, openLoop, phases, remove, URL } from './hearth.js';

const build = new Trend('hearth_build', true);
const total = new Trend('hearth_deploy_total', true);

export const options = {
  scenarios: { deploy: openLoop(2, 20) },
  thresholds: {
    checks: ['rate==1'],
    hearth_deploy_total: [`p(95)<${ms('P95_MS', 2000)}`],
    dropped_iterations: ['count==0'],
  },
};

const NAMES = 10;
const name = (index) => `k6-deploy-${index}`;

export default function iteration() {
  // Each iteration has the name for itself as long as fewer than NAMES deploys run at once.
  const number = exec.scenario.iterationInTest;
  const mine = name(number % NAMES);
  const answer = api(
    'PUT',
    `/v1/functions/${mine}`,
    `export default { fetch: (): Response => new Response("version ${number}") }`,
    'text/typescript',
  );
  const deployed = check(answer, { 'deploy answers 201': (r) => r.status === 201 });
  if (!deployed) return;
  build.add(answer.json('timings.buildMs'));
  total.add(answer.json('timings.totalMs'));

  const response = http.get(`${URL}/${mine}`, { tags: { name: 'after deploy' } });
  check(response, {
    'the new code answers': (r) => r.body === `version ${number}`,
    'the first call is warm': (r) => r.headers['Hearth-Start'] === 'warm',
    'server-timing is there': (r) => 'run' in phases(r),
  });
}

export function teardown() {
  remove(Array.from({ length: NAMES }, (_, index) => name(index)));
}
