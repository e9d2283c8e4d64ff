/**
 * How late crons fire: one alone in an idle gateway, and many due in the same second on functions that are warm. A
 * function notes the moment its handler is called; late is that moment less the due time, both by the clock of one machine.
 */
import { scheduler } from 'node:timers/promises';
import { REDIS_MISSING, startRedis } from '../../gateway/store/redis/testing/server.ts';
import type { TestGateway } from '../../gateway/testing/gateway.ts';
import { startHearth } from '../peers/hearth.ts';
import { figure, percentile, quoted, table } from '../report.ts';

export interface CronOptions {
  functions: number;
  /** Of each function, at most 27; all are due at once. */
  crons: number;
  /** Times at which all are due; one more before them is not counted. */
  ticks: number;
  /** Of the cron that is alone, one a second. */
  idleTicks: number;
}

const STORES = [
  { name: 'SQLite', targetMs: 100, redis: null },
  { name: 'Redis, appendfsync everysec', targetMs: 150, redis: { appendfsync: 'everysec' } },
  { name: 'Redis, appendfsync always', targetMs: null, redis: { appendfsync: 'always' } },
] as const;

/** Between two times at which all are due: what ran has ended long before. */
const EVERY_S = 5;

/** One instance, so that all is noted in one place. */
const SETTINGS = { maxInstances: 1, overlap: 'allow', missed: 'all' };
const SOURCE = `
const late = [];
export default {
  scheduled({ scheduledTime }) { late.push([scheduledTime, Date.now() - scheduledTime]); },
  fetch: () => Response.json(late),
};`;

interface Found {
  store: string;
  targetMs: number | null;
  /** Ms. */
  idle: Lateness;
  burst: Lateness;
  /** Runs that there should have been and were not, and those that there were twice. */
  missing: number;
}

interface Lateness {
  runs: number;
  p50Ms: number;
  /** Null where there are too few runs to quote it. */
  p99Ms: number | null;
  maxMs: number;
}

export async function cron(options: CronOptions): Promise<{ text: string; data: unknown }> {
  const found: Found[] = [];
  for (const { name, targetMs, redis } of STORES) {
    if (redis !== null && REDIS_MISSING !== false) continue;
    await using server = redis === null ? null : await startRedis({ config: redis });
    const env: Record<string, string> = server === null ? {} : { HEARTH_STORE: 'redis', REDIS_URL: server.url };
    await using hearth = await startHearth({ env });
    const idle = await aloneIn(hearth.gateway, options);
    const { burst, missing } = await manyIn(hearth.gateway, options);
    found.push({ store: name, targetMs, idle: summary(idle), burst: summary(burst), missing });
  }
  return { text: report(options, found), data: { ...options, stores: found } };
}

async function deploy(gateway: TestGateway, name: string, crons: string[]): Promise<void> {
  await gateway.deploy(name, { 'index.js': SOURCE }, { manifest: { triggers: { crons }, hearth: SETTINGS } });
}

/** Due time and ms late, of each run. */
async function notedBy(gateway: TestGateway, name: string): Promise<[number, number][]> {
  const response = await fetch(`${gateway.url}/${name}`);
  if (response.status !== 200) throw new Error(`${name}: ${response.status} ${await response.text()}`);
  return (await response.json()) as [number, number][];
}

async function aloneIn(gateway: TestGateway, { idleTicks }: CronOptions): Promise<number[]> {
  await deploy(gateway, 'alone', ['* * * * * *']);
  await scheduler.wait((idleTicks + 1) * 1000);
  const noted = await notedBy(gateway, 'alone');
  await gateway.api('DELETE', '/v1/functions/alone');
  return noted.slice(1).map(([, late]) => late);
}

async function manyIn(gateway: TestGateway, options: CronOptions): Promise<{ burst: number[]; missing: number }> {
  const { functions, crons, ticks } = options;
  const names = Array.from({ length: functions }, (_, i) => `many-${i}`);
  for (const name of names) await deploy(gateway, name, spellings().slice(0, crons));
  const everyMs = EVERY_S * 1000;
  const first = (Math.floor(Date.now() / everyMs) + 2) * everyMs;
  const last = first + (ticks - 1) * everyMs;
  await scheduler.wait(last + everyMs / 2 - Date.now());
  const burst: number[] = [];
  let missing = 0;
  for (const name of names) {
    const counted = (await notedBy(gateway, name)).filter(([dueAt]) => dueAt >= first && dueAt <= last);
    missing += Math.abs(crons * ticks - counted.length);
    burst.push(...counted.map(([, late]) => late));
  }
  return { burst, missing };
}

/** The same due times said in different ways: each is a cron of its own. */
function spellings(): string[] {
  return ['*', '*/1', '0-59'].flatMap((minute) =>
    ['*', '*/1', '0-23'].flatMap((hour) =>
      ['*', '*/1', '1-12'].map((month) => `*/${EVERY_S} ${minute} ${hour} * ${month} *`),
    ),
  );
}

function summary(late: number[]): Lateness {
  return {
    runs: late.length,
    p50Ms: percentile(late, 50),
    p99Ms: quoted(percentile(late, 99), 99, late.length),
    maxMs: Math.max(...late),
  };
}

function report({ functions, crons, ticks, idleTicks }: CronOptions, found: Found[]): string {
  const cells = ({ p50Ms, p99Ms, maxMs }: Lateness) => [p50Ms, p99Ms, maxMs].map((value) => `${figure(value, 0)} ms`);
  const rows = found.flatMap(({ store, targetMs, idle, burst, missing }) => [
    [store, 'one alone', ...cells(idle), '', String(idle.runs), ''],
    [
      '',
      `${functions * crons} at once`,
      ...cells(burst),
      targetMs === null ? '' : `${targetMs} ms`,
      String(burst.runs),
      String(missing),
    ],
  ]);
  return [
    table(['store', 'crons', 'late p50', 'p99', 'max', 'p99 at most', 'runs', 'missing or twice'], rows),
    `Late: from the due time until the handler is called. ${functions} warm functions with ${crons} crons each, all due at once ${ticks} times; the one alone ${idleTicks} times, every second.`,
  ].join('\n');
}
