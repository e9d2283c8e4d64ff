/**
 * Cold starts, open loop: each call meets a function without an instance (`keepAlive: 0`, one call at a time each), so
 * each one takes a base from the cache pool and loads its code there.
 */
import exec from 'k6/execution';
import http from 'k6/http';
import { Rate, Trend } from 'k6/metrics';
import { checkAnswer, deploy, ms, openLoop, phases, remove, URL } from './hearth.js';

const PHASES = ['wait', 'acquire', 'transfer', 'compile', 'evaluate', 'run'];
const trends = Object.fromEntries(PHASES.map((phase) => [phase, new Trend(`hearth_${phase}`, true)]));
const inside = new Trend('hearth_cold_total', true);
const cold = new Rate('hearth_cold');

export const options = {
  scenarios: { cold: openLoop(5, 50) },
  thresholds: {
    checks: ['rate==1'],
    hearth_cold: ['rate>0.95'],
    hearth_cold_total: [`p(50)<${ms('P50_MS', 25)}`, `p(95)<${ms('P95_MS', 250)}`],
    hearth_compile: [`p(95)<${ms('COMPILE_P95_MS', 50)}`],
    http_req_failed: ['rate==0'],
    dropped_iterations: ['count==0'],
  },
};

const FUNCTIONS = Number(__ENV.FUNCTIONS ?? 20);
const name = (index) => `k6-cold-${index}`;

export function setup() {
  for (let index = 0; index < FUNCTIONS; index++) {
    // Sources differ, so nothing can be answered from the code of another one.
    const source = `const me = ${index}; export default { fetch: () => Response.json({ me, at: Date.now() }) }`;
    deploy(name(index), source, { hearth: { keepAlive: 0, concurrency: 1 } });
  }
}

export default function iteration() {
  const response = http.get(`${URL}/${name(exec.scenario.iterationInTest % FUNCTIONS)}`, { tags: { name: 'cold' } });
  if (!checkAnswer(response)) return;
  const isCold = response.headers['Hearth-Start'] === 'cold';
  cold.add(isCold);
  if (!isCold) return;
  const timing = phases(response);
  for (const phase of PHASES) if (timing[phase] !== undefined) trends[phase].add(timing[phase]);
  inside.add(PHASES.reduce((sum, phase) => sum + (timing[phase] ?? 0), 0));
}

export function teardown() {
  remove(Array.from({ length: FUNCTIONS }, (_, index) => name(index)));
}
