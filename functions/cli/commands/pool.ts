/** `hearth pool`: pools and hosts as they are, and why each base was started, leased, retired or killed. */
import type { AddCommand } from '../cli.ts';
import { number } from '../input.ts';
import { table, time } from '../output.ts';

interface PoolView {
  hosts: {
    id: string;
    base: string;
    pool: string;
    lentBy: string | null;
    trustGroup: string | null;
    state: string;
    memoryBytes: number | null;
    bases: { state: string; function: string | null }[];
  }[];
  pools: {
    name: string;
    placement: string;
    maxBases: number;
    memoryMb: number;
    usedMb: number;
    bases: Record<string, number>;
    waiting: number;
  }[];
}

interface PoolEvent {
  time: string;
  subject: string;
  id: string;
  what: string;
  why: string;
  function?: string;
}

export const pool: AddCommand = (program, cli) => {
  const pools = program.command('pool').description('show pools, hosts and bases');
  pools
    .command('show', { isDefault: true })
    .description('pools and hosts as they are')
    .action(async () => {
      const view = await cli.client().call<PoolView>('GET', '/v1/pool');
      cli.show(view, () => `${poolTable(view)}\n\n${hostTable(view)}`);
    });
  pools
    .command('events')
    .description('what happened to hosts and bases, newest first')
    .option('-n, --limit <count>', 'at most so many', number, 50)
    .action(async ({ limit }: { limit: number }) => {
      const answer = await cli
        .client()
        .call<{ events: PoolEvent[] }>('GET', '/v1/pool/events', { query: { limit: String(limit) } });
      cli.show(answer, () =>
        table(
          ['TIME', 'WHAT', 'SUBJECT', 'ID', 'FUNCTION', 'WHY'],
          answer.events.map((one) => [time(one.time), one.what, one.subject, one.id, one.function, one.why]),
        ),
      );
    });
};

function poolTable({ pools }: PoolView): string {
  return table(
    ['POOL', 'WARM', 'LEASED', 'OTHER', 'MOST', 'MEMORY', 'WAITING', 'PLACEMENT'],
    pools.map(({ name, bases, maxBases, usedMb, memoryMb, waiting, placement }) => {
      const { warm = 0, leased = 0, dead: _dead, ...others } = bases;
      const other = Object.values(others).reduce((sum, count) => sum + count, 0);
      return [
        name,
        warm,
        leased,
        other,
        maxBases,
        `${Math.round(usedMb)} of ${Math.round(memoryMb)} MB`,
        waiting,
        placement,
      ];
    }),
  );
}

function hostTable({ hosts }: PoolView): string {
  return table(
    ['HOST', 'POOL', 'BASE', 'TRUST GROUP', 'STATE', 'MEMORY', 'BASES', 'FUNCTIONS'],
    hosts.map((host) => [
      host.id,
      host.lentBy === null ? host.pool : `${host.pool} (lent by ${host.lentBy})`,
      host.base,
      host.trustGroup,
      host.state,
      host.memoryBytes === null ? null : `${Math.round(host.memoryBytes / 1e6)} MB`,
      host.bases.length,
      [...new Set(host.bases.flatMap((base) => (base.function === null ? [] : [base.function])))],
    ]),
    'no hosts',
  );
}
