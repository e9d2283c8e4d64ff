/**
 * Releases under a constant load: how soon a rollback, a publication, its end and a guard's verdict reach those who call.
 * Times are what clients see; the answer of the control API stands beside them. No call may fail, but those of the bad
 * version, and those that come while nothing is published.
 */
import { scheduler } from 'node:timers/promises';
import type { TestGateway } from '../../gateway/testing/gateway.ts';
import { Connection } from '../load/connection.ts';
import { type HearthPeer, startHearth, untilWarm } from '../peers/hearth.ts';
import { figure, median, table } from '../report.ts';
import { type Callers, startCallers } from './release-callers.ts';

export interface ReleaseOptions {
  /** Of each act but the guard's. */
  rounds: number;
  /** Of each of the guard's figures. */
  guardRounds: number;
}

const CALLERS = 16;
/** What each act is to stay below. */
const TARGET_MS = 1000;

const says = (text: string) => `export default { fetch: () => new Response('${text}') };`;
const FAILING = "export default { fetch: () => new Response('bad', { status: 500 }) };";
const SLOW =
  "export default { async fetch() { await new Promise((resolve) => setTimeout(resolve, 60)); return new Response('slow'); } };";

/** Ms; one sample a round. */
interface Act {
  /** From the call of the API to the first client's answer that shows it. */
  seen: number[];
  /** To the answer of the API; of the guard, to the end that the rollout tells. */
  answered: number[];
}

type Acts = Record<string, Act>;

export async function release(options: ReleaseOptions): Promise<{ text: string; data: unknown }> {
  await using hearth = await startHearth({ source: says('one') });
  await untilWarm(hearth.gateway, 4);
  await using callers = await startCallers(hearth.port, hearth.path, CALLERS);
  const acts: Acts = {};
  acts['rollback → first answer of the version before'] = await rollbacks(hearth, callers, options.rounds);
  Object.assign(acts, await publications(hearth, callers, options.rounds));
  acts['guard on errors: first error → traffic back'] = await returns(hearth, callers, FAILING, options.guardRounds);
  acts['guard on latency: first slow answer → traffic back'] = await returns(
    hearth,
    callers,
    SLOW,
    options.guardRounds,
  );
  const load = callers.told();
  return { text: report(acts, load), data: { options, targetMs: TARGET_MS, acts, load } };
}

async function rollbacks({ gateway }: HearthPeer, callers: Callers, rounds: number): Promise<Act> {
  const act: Act = { seen: [], answered: [] };
  for (let round = 0; round < rounds; round++) {
    await gateway.deploy('bench', says(`new ${round}`));
    await callers.next(({ body }) => body === `new ${round}`);
    const [called, back] = await Promise.all([
      control(gateway, 'POST', '/v1/functions/bench/rollback'),
      callers.next(({ body }) => body === 'one'),
    ]);
    note(act, called, back);
  }
  return act;
}

async function publications({ gateway }: HearthPeer, callers: Callers, rounds: number): Promise<Acts> {
  const unpublish: Act = { seen: [], answered: [] };
  const publish: Act = { seen: [], answered: [] };
  for (let round = 0; round < rounds; round++) {
    await callers.allowing(isUnpublished, async () => {
      const [taken, gone] = await Promise.all([
        control(gateway, 'DELETE', '/v1/publications/bench'),
        callers.next(isUnpublished),
      ]);
      note(unpublish, taken, gone);
      const [given, there] = await Promise.all([
        control(gateway, 'PUT', '/v1/publications/bench', { function: 'bench' }),
        callers.next(({ status }) => status === 200),
      ]);
      note(publish, given, there);
    });
  }
  return { 'unpublish → NO_ROUTE': unpublish, 'publish → first answer': publish };
}

function note({ seen, answered }: Act, called: Called, at: number): void {
  seen.push(at - called.begun);
  answered.push(called.answered);
}

const isUnpublished = ({ status, body }: { status: number; body: string }) =>
  status === 404 && body.includes('NO_ROUTE');

interface Rollout {
  id: string;
  state: string;
  endedAt: string | null;
}

/**
 * From the first bad answer that a client sees to the last one, once the rollout says that it was stopped: what the new
 * version did to those who call.
 */
async function returns({ gateway }: HearthPeer, callers: Callers, source: string, rounds: number): Promise<Act> {
  const act: Act = { seen: [], answered: [] };
  for (let round = 0; round < rounds; round++) {
    const { version } = await gateway.deploy('bench', `${source} // ${round}`, { query: 'activate=false' });
    const isNew = ({ body }: { body: string }) => body === 'bad' || body === 'slow';
    await callers.allowing(isNew, async () => {
      const first = callers.next(isNew);
      const last = callers.last(isNew);
      const begun = await gateway.api<Rollout>('POST', '/v1/rollouts', {
        functions: [{ name: 'bench', version }],
        steps: [{ percent: 50, confirm: true }, { percent: 100 }],
      });
      if (begun.status !== 201) throw new Error(`no rollout began: ${JSON.stringify(begun.body)}`);
      const endedAt = await stopped(gateway, begun.body.id);
      // Whoever called before it was stopped has an answer after this.
      await scheduler.wait(SETTLE_MS);
      const from = await first;
      act.seen.push(last() - from);
      act.answered.push(endedAt - (performance.timeOrigin + from));
    });
  }
  return act;
}

/** Far longer than the slow version takes. */
const SETTLE_MS = 500;
const GUARD_LIMIT_MS = 60_000;

/** Epoch ms. */
async function stopped(gateway: TestGateway, id: string): Promise<number> {
  const until = performance.now() + GUARD_LIMIT_MS;
  for (;;) {
    const { body } = await gateway.api<Rollout>('GET', `/v1/rollouts/${id}`);
    if (body.state === 'stopped' && body.endedAt !== null) return Date.parse(body.endedAt);
    if (performance.now() > until || body.state === 'completed' || body.state === 'aborted') {
      throw new Error(`the guard did not stop a bad version: ${JSON.stringify(body)}`);
    }
    await scheduler.wait(100);
  }
}

interface Called {
  /** On the clock of performance.now(). */
  begun: number;
  /** Ms after it. */
  answered: number;
}

/** Over a connection that stands: opening one is no part of it, and one that idles for seconds is closed. */
async function control(
  { adminUrl, token }: TestGateway,
  method: string,
  path: string,
  body?: unknown,
): Promise<Called> {
  const connection = await new Connection(Number(new URL(adminUrl).port), { keepBody: true }).opened();
  try {
    const begun = performance.now();
    const answer = await connection.request({
      method,
      path,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: body === undefined ? '' : JSON.stringify(body),
    });
    const answered = performance.now() - begun;
    if (answer.status >= 300) throw new Error(`${method} ${path} was answered with ${answer.status}: ${answer.body}`);
    return { begun, answered };
  } finally {
    connection.close();
  }
}

function report(acts: Acts, load: ReturnType<Callers['told']>): string {
  const rows = Object.entries(acts).map(([name, { seen, answered }]) => [
    name,
    figure(median(seen), 1),
    figure(Math.max(...seen), 1),
    figure(median(answered), 1),
    figure(Math.max(...answered), 1),
    String(seen.length),
    Math.max(...seen) < TARGET_MS ? 'yes' : 'NO',
  ]);
  return [
    table(['release under load', 'p50 ms', 'max ms', 'API p50 ms', 'API max ms', 'rounds', '< 1 s'], rows),
    `${load.callers} callers, ${load.calls} calls, ${load.failed} failed. Guard: from the first bad answer to the last one that clients saw, and to the end of the rollout.`,
  ].join('\n');
}
