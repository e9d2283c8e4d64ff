/**
 * The soak: for as long as it is told, steady load, deploys under load, and bombs, all at once, while memory and the
 * delay of the gateway's loop are watched. What goes wrong and is nobody's expected harm is an unexplained error.
 */
import { scheduler } from 'node:timers/promises';
import type { TestGateway } from '../../gateway/testing/gateway.ts';
import type { Result } from '../load/generator.ts';
import { rssBytes, tree } from '../load/proc.ts';
import { runLoad } from '../load/run.ts';
import { HELLO, poolOf, startHearth, untilWarm } from '../peers/hearth.ts';
import { BOMBS } from './bombs.ts';

export interface Sample {
  atMs: number;
  gatewayBytes: number;
  hostsBytes: number;
  hosts: number;
}

export interface Load {
  name: string;
  result: Result;
  /** Errors that a bomb in its trust group explains, and those that nothing does. */
  explained: number;
  unexplained: Record<string, number>;
}

export interface SoakResult {
  minutes: number;
  loads: Load[];
  /** Answers of /healthz, which wait for the gateway's loop and do nothing else. */
  loop: Result;
  deploys: number;
  bombs: Record<string, { calls: number; told: Record<string, number> }>;
  samples: Sample[];
  /** Each distinct sentence and how often. */
  unexplained: Record<string, number>;
  /** Processes that were still there after the gateway had ended. */
  left: number;
  exitCode: number | null;
}

/** Of another trust group than the bombs: nothing may happen to it. */
const STEADY = { name: 'steady', rate: 100, settings: { trustGroup: 'calm' }, mayCrash: false };
/** Of the bombs' own: what it has in flight may go down with them. */
const NEIGHBOUR = { name: 'neighbour', rate: 20, settings: { trustGroup: 'bombs' }, mayCrash: true };
/** Deployed anew again and again while it is called. */
const CHANGING = { name: 'changing', rate: 20, settings: { trustGroup: 'calm' }, mayCrash: false };
const LOOP_RATE = 50;
const DEPLOY_EVERY_MS = 2000;
const BOMB_EVERY_MS = 3000;
const SAMPLE_EVERY_MS = 5000;
const CONNECTIONS = 32;

export async function soak(minutes: number, tell: (line: string) => void): Promise<SoakResult> {
  await using hearth = await startHearth();
  const { gateway } = hearth;
  const adminPort = Number(new URL(gateway.adminUrl).port);
  for (const { name, settings } of [STEADY, NEIGHBOUR, CHANGING]) {
    await gateway.deploy(name, { 'index.ts': HELLO }, { manifest: { hearth: settings } });
  }

  const durationMs = minutes * 60_000;
  const unexplained = new Map<string, number>();
  const note = (what: string) => {
    if (!unexplained.has(what)) tell(`UNEXPLAINED: ${what}`);
    unexplained.set(what, (unexplained.get(what) ?? 0) + 1);
  };
  const found: Pick<SoakResult, 'deploys' | 'bombs' | 'samples'> = { deploys: 0, bombs: {}, samples: [] };
  const until = performance.now() + durationMs;
  const job = { connections: CONNECTIONS, warmupMs: 0, durationMs, coarse: true };
  const load = (name: string, rate: number) => runLoad({ ...job, port: hearth.port, paths: [`/${name}`], rate });
  const [loop, steady, neighbour, changing] = await Promise.all([
    runLoad({ ...job, port: adminPort, paths: ['/healthz'], rate: LOOP_RATE }),
    load(STEADY.name, STEADY.rate),
    load(NEIGHBOUR.name, NEIGHBOUR.rate),
    load(CHANGING.name, CHANGING.rate),
    every(DEPLOY_EVERY_MS, until, () => redeploy(gateway, ++found.deploys), note),
    every(BOMB_EVERY_MS, until, (count) => explode(gateway, count, found.bombs, note), note),
    every(SAMPLE_EVERY_MS, until, () => sample(hearth.pid, gateway, found.samples, tell), note),
  ]);

  await untilWarm(gateway, 1);
  const pids = tree(hearth.pid);
  const exitCode = await gateway.stop();
  // A process that has ended and that nobody has waited for takes no memory.
  const left = pids.filter((pid) => (rssBytes(pid) ?? 0) > 0).length;
  const loads = [judge(STEADY, steady), judge(NEIGHBOUR, neighbour), judge(CHANGING, changing)];
  for (const { name, unexplained: errors } of loads) {
    for (const [status, count] of Object.entries(errors)) {
      unexplained.set(`a call of ${name} was answered with ${status}`, count);
    }
  }
  return { minutes, loads, loop, ...found, unexplained: Object.fromEntries(unexplained), left, exitCode };
}

/** One at a time; what takes longer than the interval delays the next. */
async function every(
  ms: number,
  until: number,
  work: (count: number) => Promise<void>,
  note: (what: string) => void,
): Promise<void> {
  for (let count = 0; performance.now() < until; count++) {
    const next = performance.now() + ms;
    try {
      await work(count);
    } catch (error) {
      note(error instanceof Error ? (`${error.message}`.split('\n')[0] ?? 'an error without words') : String(error));
    }
    await scheduler.wait(Math.max(0, Math.min(next, until) - performance.now()));
  }
}

/** The new version answers as soon as the deploy has. */
async function redeploy(gateway: TestGateway, number: number): Promise<void> {
  const source = `export default { fetch: () => new Response('version ${number}') };`;
  await gateway.deploy(CHANGING.name, { 'index.ts': source }, { manifest: { hearth: CHANGING.settings } });
  const answer = await (await fetch(`${gateway.url}/${CHANGING.name}`)).text();
  if (answer !== `version ${number}`) throw new Error('a deploy had answered and the version before it still served');
}

/** Deployed anew each time: a bomb that was quarantined would be no bomb. */
async function explode(
  gateway: TestGateway,
  count: number,
  bombs: SoakResult['bombs'],
  note: (what: string) => void,
): Promise<void> {
  const bomb = BOMBS[count % BOMBS.length];
  if (bomb === undefined) return;
  const manifest = { hearth: { trustGroup: 'bombs', ...bomb.settings } };
  await gateway.deploy(bomb.name, { 'index.ts': `// ${count}\n${bomb.source}` }, { manifest });
  const response = await fetch(`${gateway.url}/${bomb.name}`);
  const { code = `status ${response.status}` } = (await response.json().catch(() => ({}))) as { code?: string };
  const seen = bombs[bomb.name] ?? { calls: 0, told: {} };
  bombs[bomb.name] = seen;
  seen.calls += 1;
  seen.told[code] = (seen.told[code] ?? 0) + 1;
  if (!bomb.codes.includes(code))
    note(`${bomb.name} was answered with ${code}, and not with ${bomb.codes.join(' or ')}`);
}

async function sample(
  pid: number,
  gateway: TestGateway,
  samples: Sample[],
  tell: (line: string) => void,
): Promise<void> {
  const pids = (await poolOf(gateway)).hosts.flatMap((host) => (host.pid === null ? [] : [host.pid]));
  const now: Sample = {
    atMs: performance.now(),
    gatewayBytes: rssBytes(pid) ?? 0,
    hostsBytes: pids.reduce((sum, each) => sum + (rssBytes(each) ?? 0), 0),
    hosts: pids.length,
  };
  samples.push(now);
  if (samples.length % 12 === 1) {
    const mb = (bytes: number) => Math.round(bytes / 1024 ** 2);
    tell(`gateway ${mb(now.gatewayBytes)} MB, ${now.hosts} hosts ${mb(now.hostsBytes)} MB`);
  }
}

/** 502 FUNCTION_CRASHED is the one thing a bomb may do to its neighbour. */
function judge({ name, mayCrash }: typeof STEADY, result: Result): Load {
  const unexplained = Object.fromEntries(
    Object.entries(result.errorsBy).filter(([status]) => !(mayCrash && status === '502')),
  );
  const explained = mayCrash ? (result.errorsBy['502'] ?? 0) : 0;
  return { name, result, explained, unexplained };
}
