/** What an idle rehearsed base takes: the slope of the hosts' memory over the number of bases. */
import { setTimeout as wait } from 'node:timers/promises';
import { pssBytes } from '../load/proc.ts';
import { poolOf, startHearth, untilWarm } from '../peers/hearth.ts';
import { figure, leastSquares, table } from '../report.ts';
import { groupDensity, groupReport } from './group-density.ts';

export interface DensityOptions {
  /** Numbers of bases. */
  bases: number[];
  /** Numbers of modules in one base of a group. */
  modules: number[];
  /** How often one of them is then replaced. */
  replacements: number;
  /**
   * What is waited before memory is looked at: a base in stock gives it back after three seconds (pool/base/rest.ts), and
   * with many of them that takes a while.
   */
  settleMs: number;
}

interface Point {
  bases: number;
  hosts: number;
  pssBytes: number;
}

export async function density(options: DensityOptions): Promise<{ text: string; data: unknown }> {
  const { bases, modules, replacements, settleMs } = options;
  const most = Math.max(...bases);
  const kinds = {
    'bases of one host': String(most),
    'bases with their hosts, 8 each': '8',
  };
  const found: Record<string, Point[]> = {};
  for (const [kind, perHost] of Object.entries(kinds)) {
    found[kind] = [];
    for (const count of bases) found[kind].push(await point(count, perHost, settleMs));
  }
  const groups = await groupDensity(modules, replacements, settleMs);
  return { text: `${report(found)}\n\n${groupReport(groups)}`, data: { bases, found, groups } };
}

async function point(bases: number, perHost: string, settleMs: number): Promise<Point> {
  await using hearth = await startHearth({
    env: { HEARTH_WARM_BASES: String(bases), HEARTH_BASES_PER_HOST: perHost, HEARTH_MAX_BASES: '512' },
  });
  // The base of the function that the start deploys is leased, not idle: it goes first.
  await hearth.gateway.api('DELETE', '/v1/functions/bench');
  await untilWarm(hearth.gateway, bases, { pollMs: 200 });
  await wait(settleMs);
  const { hosts } = await poolOf(hearth.gateway);
  const idle = hosts.map((host) => host.bases.length).reduce((sum, count) => sum + count, 0);
  const pss = hosts.reduce((sum, { pid }) => sum + (pid === null ? 0 : (pssBytes(pid) ?? 0)), 0);
  return { bases: idle, hosts: hosts.length, pssBytes: pss };
}

function report(found: Record<string, Point[]>): string {
  const mb = (bytes: number) => figure(bytes / 1024 ** 2, 1);
  const rows = Object.entries(found).map(([kind, points]) => {
    const { slope, intercept } = leastSquares(points.map((each) => [each.bases, each.pssBytes]));
    const measured = points.map((each) => `${each.bases}: ${mb(each.pssBytes)}`).join(', ');
    return [kind, mb(slope), mb(intercept), measured];
  });
  return [
    table(['density', 'MB PSS a base', 'MB without bases', 'bases: MB of all hosts'], rows),
    'Idle rehearsed bases of a fresh gateway; PSS of the hosts from smaps_rollup, ten seconds after the last base was warm; slope and intercept by least squares.',
  ].join('\n');
}
