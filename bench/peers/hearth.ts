import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { scheduler } from 'node:timers/promises';
import { startGateway, type TestGateway } from '../../gateway/testing/gateway.ts';
import type { Peer } from './peer.ts';

export interface HearthPeer extends Peer {
  readonly gateway: TestGateway;
}

export interface HearthOptions {
  /** Deployed as `bench`; default: it says hello. */
  source?: string;
  manifest?: Record<string, unknown>;
  env?: Record<string, string>;
  /** What its hearth.config.jsonc names under `bases`; default: none. */
  bases?: Record<string, unknown>;
  /** What it names under `pools`; default: none. */
  pools?: Record<string, unknown>;
  /** State of an earlier gateway. */
  dataDir?: string;
}

export const HELLO = "export default { fetch: () => new Response('hello') }";

/** The default of HEARTH_WARM_BASES, which the gateway of tests lowers. */
const WARM_BASES = '8';

/** A gateway of its own with the settings a user has who set none, but for what is given. */
export async function startHearth(options: HearthOptions = {}): Promise<HearthPeer> {
  await using stack = new AsyncDisposableStack();
  const cwd = await mkdtemp(join(tmpdir(), 'hearth-bench-'));
  stack.defer(() => rm(cwd, { recursive: true, force: true }));
  const { bases, pools } = options;
  if (bases !== undefined || pools !== undefined) {
    await writeFile(join(cwd, 'hearth.config.jsonc'), JSON.stringify({ bases, pools }));
  }
  const gateway = stack.use(
    await startGateway({
      cwd,
      env: { HEARTH_WARM_BASES: WARM_BASES, ...options.env },
      ...(options.dataDir === undefined ? {} : { dataDir: options.dataDir }),
    }),
  );
  const { source = HELLO, manifest } = options;
  await gateway.deploy('bench', { 'index.ts': source }, manifest === undefined ? {} : { manifest });
  const owned = stack.move();
  return {
    name: 'hearth',
    port: Number(new URL(gateway.url).port),
    path: '/bench',
    pid: gateway.pid,
    gateway,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export interface Pool {
  hosts: {
    id: string;
    pid: number | null;
    trustGroup: string | null;
    bases: { state: string; function: string | null }[];
  }[];
  bases: Record<string, number>;
}

export async function poolOf(gateway: TestGateway): Promise<Pool> {
  return (await gateway.api<Pool>('GET', '/v1/pool')).body;
}

/** Far above the time in which a hundred bases come up. */
const WARM_LIMIT_MS = 120_000;

/**
 * Resolves when so many bases are warm and none is on its way: the refill's work would else stand beside what is
 * measured. `unboundOnly`: of hosts that no trust group has taken yet.
 */
export async function untilWarm(
  gateway: TestGateway,
  bases: number,
  { pollMs = 20, unboundOnly = false }: { pollMs?: number; unboundOnly?: boolean } = {},
): Promise<void> {
  const until = performance.now() + WARM_LIMIT_MS;
  for (;;) {
    const pool = await poolOf(gateway);
    const { booting = 0, rehearsing = 0 } = pool.bases;
    const warm = pool.hosts
      .filter(({ trustGroup }) => !unboundOnly || trustGroup === null)
      .reduce((sum, host) => sum + host.bases.filter(({ state }) => state === 'warm').length, 0);
    if (warm >= bases && booting + rehearsing === 0) return;
    if (performance.now() > until)
      throw new Error(`${bases} warm bases were waited for: ${JSON.stringify(pool.bases)}`);
    await scheduler.wait(pollMs);
  }
}
