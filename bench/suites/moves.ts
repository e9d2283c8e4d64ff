/**
 * How soon traffic is where it was sent: rollback, publish and unpublish, from the request sent to the first answer that
 * is the new one; and a guarded rollout of a bad version, until its last answer.
 */
import { scheduler } from 'node:timers/promises';
import { startGateway, type TestGateway } from '../../gateway/testing/gateway.ts';
import type { Answer } from '../load/answer.ts';
import { Connection } from '../load/connection.ts';
import { figure, median, percentile, table } from '../report.ts';

export interface MovesOptions {
  /** Of each kind. */
  moves: number;
  /** Rollouts of each kind of bad version. */
  rollouts: number;
}

export interface Moves {
  /** Ms. */
  moved: Record<string, number[]>;
  guarded: Record<string, Guarded[]>;
}

interface Guarded {
  /** From when both versions had answered as often as the guard wants to see, to the last answer of the bad one. */
  returnedMs: number;
  /** Answers of the bad one in all. */
  badAnswers: number;
  why: string;
}

const BAD = {
  'errors, every third answer': `let calls = 0;
    export default { fetch: () => new Response('new', { status: calls++ % 3 === 0 ? 500 : 200 }) };`,
  'latency, 60 ms more': `export default { async fetch() {
    await new Promise((resolve) => setTimeout(resolve, 60));
    return new Response('new');
  } };`,
};
const GOOD = "export default { fetch: () => new Response('old') };";

/** As the guard's own default is. */
const MIN_REQUESTS = 50;
const CALLERS = 8;
/** Between two calls of one caller. */
const PACE_MS = 10;

export async function moves(options: MovesOptions): Promise<Moves> {
  await using gateway = await startGateway();
  const guarded: Moves['guarded'] = {};
  for (const [kind, source] of Object.entries(BAD)) {
    guarded[kind] = [];
    for (let n = 0; n < options.rollouts; n++) guarded[kind].push(await rolledOut(gateway, source, n));
  }
  return { moved: await movedBackAndForth(gateway, options.moves), guarded };
}

async function movedBackAndForth(gateway: TestGateway, count: number): Promise<Record<string, number[]>> {
  const bodies = ['old', 'new'];
  for (const body of bodies) await gateway.deploy('moved', `export default { fetch: () => new Response('${body}') };`);
  const headers = { authorization: `Bearer ${gateway.token}`, 'content-type': 'application/json' };
  const timed = async (method: string, path: string, body: string, there: (answer: Answer) => boolean) => {
    const control = await new Connection(Number(new URL(gateway.adminUrl).port)).opened();
    const traffic = await new Connection(Number(new URL(gateway.url).port), { keepBody: true }).opened();
    try {
      const begun = performance.now();
      const { status } = await control.request({ method, path, headers, body });
      if (status >= 300) throw new Error(`${method} ${path} was answered with ${status}`);
      while (!there(await traffic.get('/moved')));
      return performance.now() - begun;
    } finally {
      control.close();
      traffic.close();
    }
  };
  const moved: Record<string, number[]> = { rollback: [], unpublish: [], publish: [] };
  for (let n = 0; n < count; n++) {
    const expected = bodies[n % 2];
    const path = '/v1/functions/moved/rollback';
    moved.rollback?.push(await timed('POST', path, '', ({ body }) => body === expected));
    const publication = '/v1/publications/moved';
    moved.unpublish?.push(await timed('DELETE', publication, '', ({ status }) => status === 404));
    moved.publish?.push(await timed('PUT', publication, '{"function":"moved"}', ({ status }) => status === 200));
  }
  return moved;
}

/** Under load all the while. Throws when the guard does not stop it. */
async function rolledOut(gateway: TestGateway, source: string, n: number): Promise<Guarded> {
  const name = `guarded-${n}`;
  await gateway.deploy(name, GOOD);
  const { version } = await gateway.deploy(name, source, { query: 'activate=false' });
  let stopped = false;
  const answers = { old: 0, new: 0 };
  let enoughAt = Number.NaN;
  let lastBadAt = Number.NaN;
  const callers = Array.from({ length: CALLERS }, async () => {
    while (!stopped) {
      const response = await fetch(`${gateway.url}/${name}`);
      await response.arrayBuffer();
      const which = response.headers.get('hearth-version') === version ? 'new' : 'old';
      answers[which]++;
      if (which === 'new') lastBadAt = performance.now();
      if (Number.isNaN(enoughAt) && Math.min(answers.old, answers.new) >= MIN_REQUESTS) enoughAt = performance.now();
      await scheduler.wait(PACE_MS);
    }
  });
  try {
    const begun = await gateway.api<{ id: string }>('POST', '/v1/rollouts', {
      functions: [{ name, version }],
      steps: [{ percent: 50, pauseSeconds: 30 }, { percent: 100 }],
      guard: { minRequests: MIN_REQUESTS },
    });
    if (begun.status !== 201) throw new Error(`The rollout was answered with ${begun.status}.`);
    // The guard counts from here; so does this.
    answers.old = 0;
    for (;;) {
      const { body } = await gateway.api<{ state: string; why: string | null; endedAt: string | null }>(
        'GET',
        `/v1/rollouts/${begun.body.id}`,
      );
      if (body.endedAt === null) {
        await scheduler.wait(50);
        continue;
      }
      if (body.state !== 'stopped') throw new Error(`The rollout of a bad version ended as ${body.state}.`);
      // Calls that are under way have their answers within this.
      await scheduler.wait(300);
      return { returnedMs: Math.max(0, lastBadAt - enoughAt), badAnswers: answers.new, why: body.why ?? '' };
    }
  } finally {
    stopped = true;
    await Promise.all(callers);
    await gateway.api('DELETE', `/v1/functions/${name}`);
  }
}

export function movesReport({ moved, guarded }: Moves): string {
  const rows = Object.entries(moved).map(([kind, ms]) => [
    kind,
    figure(median(ms), 1),
    figure(percentile(ms, 100), 1),
    String(ms.length),
  ]);
  const stops = Object.entries(guarded).map(([kind, found]) => {
    const ms = found.map(({ returnedMs }) => returnedMs);
    const bad = found.map(({ badAnswers }) => badAnswers);
    return [kind, figure(median(ms), 0), figure(Math.max(...ms), 0), figure(median(bad), 0), String(found.length)];
  });
  return [
    table(['traffic moves', 'p50 ms', 'max ms', 'times'], rows),
    'From the request sent to the first answer that is as it then has to be.',
    table(['a guard returns the traffic', 'p50 ms', 'max ms', 'bad answers', 'rollouts'], stops),
    `A rollout at 50 %, ${CALLERS} callers: from the ${MIN_REQUESTS}th answer of both versions, which is when the guard may judge, to the last answer of the new one.`,
  ].join('\n');
}
