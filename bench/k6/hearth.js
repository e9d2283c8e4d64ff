/** What the k6 scripts share: where the gateway is, control calls, and the phases of `server-timing`. */
import { check, fail } from 'k6';
import http from 'k6/http';

export const URL = __ENV.URL ?? 'http://127.0.0.1:8080';
export const ADMIN_URL = __ENV.ADMIN_URL ?? 'http://127.0.0.1:8081';

/** A scenario that starts iterations by the clock, whether or not earlier ones have ended (open loop). */
export function openLoop(rate, maxVUs = 200) {
  return {
    executor: 'constant-arrival-rate',
    rate: Number(__ENV.RATE ?? rate),
    timeUnit: '1s',
    duration: __ENV.DURATION ?? '30s',
    preAllocatedVUs: Math.min(maxVUs, Math.max(10, Math.ceil(Number(__ENV.RATE ?? rate) / 10))),
    maxVUs,
  };
}

/** A threshold in ms, which the environment may set for slower or faster machines. */
export function ms(name, fallback) {
  return Number(__ENV[name] ?? fallback);
}

/** A control call. `body` goes as JSON unless it is text with a content type of its own. */
export function api(method, path, body = null, contentType = 'application/json') {
  if (__ENV.TOKEN === undefined) fail('TOKEN is not set: -e TOKEN="$(cat .hearth/admin-token)"');
  return http.request(method, `${ADMIN_URL}${path}`, typeof body === 'string' ? body : JSON.stringify(body), {
    headers: { authorization: `Bearer ${__ENV.TOKEN}`, 'content-type': contentType },
    // One series for all names: k6 would else keep a metric per URL.
    tags: { name: `${method} ${path.replace(/\/(functions|queues|crons)\/[^/?]+/, '/$1/{name}')}` },
    responseCallback: http.expectedStatuses({ min: 200, max: 299 }, 404),
  });
}

/** Deploys one source file with a manifest. Ends the run with the answer when it is refused. */
export function deploy(name, source, manifest = {}) {
  const answer = api('PUT', `/v1/functions/${name}`, { manifest, files: { 'index.js': source } });
  if (answer.status !== 201) fail(`deploy of ${name} answered ${answer.status}: ${answer.body}`);
  return answer.json();
}

export function remove(names) {
  for (const name of names) api('DELETE', `/v1/functions/${name}`);
}

/** `wait;dur=0.1, run;dur=0.4` as `{wait: 0.1, run: 0.4}`; `{}` when the header is missing. */
export function phases(response) {
  const header = response.headers['Server-Timing'] ?? '';
  return Object.fromEntries(
    [...header.matchAll(/([a-z]+);dur=([\d.]+)/g)].map(([, phase, duration]) => [phase, Number(duration)]),
  );
}

/** The answer of a function, with the headers that Hearth promises on each. */
export function checkAnswer(response) {
  return check(response, {
    'status is 200': (r) => r.status === 200,
    'hearth-start is cold or warm': (r) => ['cold', 'warm'].includes(r.headers['Hearth-Start']),
    'invocation and version are named': (r) =>
      Boolean(r.headers['Hearth-Invocation-Id']) && Boolean(r.headers['Hearth-Version']),
    'server-timing has wait and run': (r) => 'wait' in phases(r) && 'run' in phases(r),
  });
}
