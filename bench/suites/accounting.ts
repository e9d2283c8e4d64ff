/**
 * Whether the phases of a cold start add up to what the client saw: for unique sources one after another, right after a
 * restart of the gateway, and for the first call in a trust group that no host has served.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { scheduler } from 'node:timers/promises';
import { Connection } from '../load/connection.ts';
import { type HearthPeer, startHearth, untilWarm } from '../peers/hearth.ts';
import { startHono } from '../peers/hono.ts';
import { median } from '../report.ts';
import { addsUp, type Call, callOnce, phaseSum } from './cold-calls.ts';

export interface Accounting {
  kind: string;
  calls: number;
  /** How many of them add up. */
  adding: number;
  /** Client's time less the phases where they are farthest apart, ms. */
  worst: number;
  /** The median of it. */
  outside: number;
  each: Call[];
}

export interface Accounts {
  found: Accounting[];
  /** What the same client sees of plain Hono, called as rarely, ms at p50: nothing of Hearth is in it. */
  transport: number;
}

/** To /bench, so that the client's own code is warm. */
const WARMING_CALLS = 100;
/** The answer about the pool has to be out of the way. */
const QUIET_MS = 10;
/** About as long as a base takes to be warm again between two cold calls. */
const PAUSE_MS = 100;
/** Bases of hosts nobody has taken yet: each first call of a trust group takes a whole host. */
const UNBOUND = 1;

export async function accounting(calls: number): Promise<Accounts> {
  const dataDir = await mkdtemp(join(tmpdir(), 'hearth-bench-'));
  try {
    const unique = names('unique', calls);
    const restarted = names('restarted', calls);
    const groups = names('group', calls);
    const found: Accounting[] = [];
    {
      await using hearth = await startHearth({ dataDir });
      for (const name of [...unique, ...restarted]) await deploy(hearth, name, {});
      for (const name of groups) await deploy(hearth, name, { trustGroup: name });
      found.push(await callEach(hearth, 'unique sources', unique, () => untilWarm(hearth.gateway, UNBOUND)));
    }
    {
      await using hearth = await startHearth({ dataDir });
      found.push(await callEach(hearth, 'right after a restart', restarted, () => Promise.resolve(), false));
      const ready = () => untilWarm(hearth.gateway, UNBOUND, { unboundOnly: true });
      found.push(await callEach(hearth, 'first call in a trust group', groups, ready));
    }
    return { found, transport: await transport(calls) };
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function transport(calls: number): Promise<number> {
  await using hono = await startHono();
  const connection = await new Connection(hono.port).opened();
  try {
    for (let count = 0; count < WARMING_CALLS; count++) await connection.get(hono.path);
    const times: number[] = [];
    for (let count = 0; count < calls; count++) {
      await scheduler.wait(PAUSE_MS);
      const begun = performance.now();
      await connection.get(hono.path);
      times.push(performance.now() - begun);
    }
    return median(times);
  } finally {
    connection.close();
  }
}

function names(kind: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${kind}-${index}`);
}

async function deploy({ gateway }: HearthPeer, name: string, settings: Record<string, unknown>): Promise<void> {
  const source = `const id = '${name}'; export default { fetch: () => new Response(id) };`;
  await gateway.deploy(name, { 'index.ts': source }, { manifest: { hearth: { keepAlive: 0, ...settings } } });
}

async function callEach(
  hearth: HearthPeer,
  kind: string,
  functions: string[],
  ready: () => Promise<void>,
  warmClient = true,
): Promise<Accounting> {
  const connection = await new Connection(hearth.port).opened();
  if (warmClient) for (let count = 0; count < WARMING_CALLS; count++) await connection.get('/bench');
  const each: Call[] = [];
  try {
    for (const name of functions) {
      await ready();
      await scheduler.wait(QUIET_MS);
      each.push(await callOnce(connection, `/${name}`));
    }
  } finally {
    connection.close();
  }
  const differences = each.map((call) => call.clientMs - phaseSum(call));
  const worst = differences.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
  return { kind, calls: each.length, adding: each.filter(addsUp).length, worst, outside: median(differences), each };
}
