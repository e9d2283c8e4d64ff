/** `hearth cron`: when what runs next, and pause. */
import type { AddCommand } from '../cli.ts';
import { segment } from '../client.ts';
import { table, time } from '../output.ts';

interface Cron {
  id: string;
  function: string;
  expression: string;
  timezone: string;
  paused: boolean;
  nextAt: string | null;
  last: { startedAt: string; outcome: string; error: string | null } | null;
}

export const cron: AddCommand = (program, cli) => {
  const crons = program.command('cron').description('list and pause crons');
  crons
    .command('ls', { isDefault: true })
    .description('list them, with next and last run')
    .action(async () => {
      const answer = await cli.client().call<{ crons: Cron[] }>('GET', '/v1/crons');
      cli.show(answer, () => shown(answer.crons));
    });
  for (const [action, description] of [
    ['pause', 'run it no more; ticks that pass meanwhile are not made up for'],
    ['resume', 'go on after a pause'],
  ] as const) {
    crons
      .command(action)
      .description(description)
      .argument('<id>', 'as "hearth cron ls" has it')
      .action(async (id: string) => {
        const json = { paused: action === 'pause' };
        const changed = await cli.client().call<Cron>('PATCH', `/v1/crons/${segment(id)}`, { json });
        cli.show(changed, () => shown([changed]));
      });
  }
};

function shown(crons: readonly Cron[]): string {
  return table(
    ['ID', 'FUNCTION', 'WHEN', 'ZONE', 'NEXT', 'LAST', 'OUTCOME'],
    crons.map((one) => [
      one.id,
      one.function,
      one.expression,
      one.timezone,
      one.paused ? 'paused' : time(one.nextAt),
      time(one.last?.startedAt),
      one.last?.error ?? one.last?.outcome,
    ]),
  );
}
