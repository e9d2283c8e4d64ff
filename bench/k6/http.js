/** Warm HTTP traffic on one function, open loop. `k6 run -e TOKEN=… -e RATE=500 -e DURATION=30s bench/k6/http.js` */
import http from 'k6/http';
import { Trend } from 'k6/metrics';
import { checkAnswer, deploy, ms, openLoop, phases, remove, URL } from './hearth.js';

const wait = new Trend('hearth_wait', true);
const run = new Trend('hearth_run', true);

export const options = {
  scenarios: { http: openLoop(200) },
  thresholds: {
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
    dropped_iterations: ['count==0'],
    'http_req_duration{scenario:http}': [`p(95)<${ms('P95_MS', 50)}`],
    hearth_wait: [`p(95)<${ms('WAIT_P95_MS', 20)}`],
  },
};

const NAME = 'k6-http';

export function setup() {
  deploy(NAME, 'export default { fetch: () => new Response("hello") }');
}

export default function iteration() {
  const response = http.get(`${URL}/${NAME}`);
  checkAnswer(response);
  const timing = phases(response);
  if (timing.wait !== undefined) wait.add(timing.wait);
  if (timing.run !== undefined) run.add(timing.run);
}

export function teardown() {
  remove([NAME]);
}
