/** What many deploys and many functions leave behind: memory, and the time of a start. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { scheduler } from 'node:timers/promises';
import type { VersionRecord } from '../../gateway/store/api/registry.ts';
import { openSqliteStore } from '../../gateway/store/sqlite/client.ts';
import { startGateway } from '../../gateway/testing/gateway.ts';
import { rssBytes, tree } from '../load/proc.ts';
import { HELLO, type HearthPeer, poolOf, startHearth, untilWarm } from '../peers/hearth.ts';

/** RSS, bytes. */
export interface Footprint {
  after: number;
  gateway: number;
  hosts: number;
  /** The builder process and esbuild. */
  builder: number;
}

export interface Growth {
  deploys: number;
  /** At the start, and after each tenth. */
  points: Footprint[];
}

/** Deploys one function again and again, each time with another source. */
export async function deployMany(deploys: number, source: (id: string) => string): Promise<Growth> {
  await using hearth = await startHearth();
  const points = [await footprint(hearth, 0)];
  const step = Math.max(1, Math.floor(deploys / 10));
  for (let done = 1; done <= deploys; done++) {
    await hearth.gateway.deploy('edited', source(`v${done}`));
    if (done % step === 0) points.push(await footprint(hearth, done));
  }
  return { deploys, points };
}

async function footprint({ gateway, pid }: HearthPeer, after: number): Promise<Footprint> {
  // Versions that were replaced have drained, and the pool is as it was.
  await untilWarm(gateway, 8);
  const hostPids = (await poolOf(gateway)).hosts.flatMap((host) => (host.pid === null ? [] : [host.pid]));
  const sum = (pids: number[]) => pids.reduce((bytes, each) => bytes + (rssBytes(each) ?? 0), 0);
  const others = tree(pid).filter((each) => each !== pid && !hostPids.includes(each));
  return { after, gateway: sum([pid]), hosts: sum(hostPids), builder: sum(others) };
}

interface Start {
  readyMs: number;
  /** Of the gateway, right after it was ready, and when what the start left behind may have been collected. */
  rssBytes: number;
  settledRssBytes: number;
  firstCall: string;
}

export interface Registered {
  functions: number;
  empty: Start;
  full: Start;
}

/** The start of a gateway with so many functions, beside one with none. */
export async function registerMany(functions: number): Promise<Registered> {
  const [emptyDir, fullDir] = await Promise.all([
    mkdtemp(join(tmpdir(), 'hearth-bench-')),
    mkdtemp(join(tmpdir(), 'hearth-bench-')),
  ]);
  try {
    // Both have been started before, so that neither makes its database.
    await start(emptyDir, null);
    await seed(fullDir, functions);
    return { functions, empty: await start(emptyDir, null), full: await start(fullDir, `f-${functions - 1}`) };
  } finally {
    await rm(emptyDir, { recursive: true, force: true });
    await rm(fullDir, { recursive: true, force: true });
  }
}

/** One function by the API; the others as copies of it, in its very words, under names of their own. */
async function seed(dataDir: string, functions: number): Promise<void> {
  {
    await using gateway = await startGateway({ dataDir });
    await gateway.deploy('f-0', HELLO);
    await gateway.stop();
  }
  const store = await openSqliteStore({ path: join(dataDir, 'hearth.sqlite'), log: console });
  try {
    const { functions: [record] = [], versions: [stored] = [] } = await store.registry.page(null);
    if (record === undefined || stored === undefined) throw new Error('what was deployed is not in the store');
    const version = JSON.parse(stored.text) as VersionRecord;
    const artifact = await store.registry.getArtifact('f-0', version.version);
    if (artifact === null) throw new Error('what was deployed has no artifact in the store');
    for (let first = 1; first < functions; first += BATCH) {
      const names = Array.from({ length: Math.min(BATCH, functions - first) }, (_, index) => `f-${first + index}`);
      await Promise.all(
        names.map((name) =>
          store.registry.deploy({ ...version, functionName: name, manifest: { ...version.manifest, name } }, artifact, {
            ...record,
            name,
          }),
        ),
      );
    }
  } finally {
    await store.close();
  }
}

const BATCH = 500;
const SETTLE_MS = 5000;

async function start(dataDir: string, call: string | null): Promise<Start> {
  const begun = performance.now();
  await using gateway = await startGateway({ dataDir });
  const readyMs = performance.now() - begun;
  const rss = rssBytes(gateway.pid) ?? Number.NaN;
  await scheduler.wait(SETTLE_MS);
  const settled = rssBytes(gateway.pid) ?? Number.NaN;
  let firstCall = '';
  if (call !== null) {
    const response = await fetch(`${gateway.url}/${call}`);
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${call} answered ${response.status}: ${text}`);
    firstCall = `${text}, ${response.headers.get('hearth-start')}`;
  }
  return { readyMs, rssBytes: rss, settledRssBytes: settled, firstCall };
}
