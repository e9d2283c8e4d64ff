/** `hearth ls`: functions, and which version serves. */
import type { AddCommand } from '../cli.ts';
import { short, table, time } from '../output.ts';

interface FunctionView {
  name: string;
  state: string;
  version: string | null;
  traffic: { split: unknown[]; rules?: unknown[] } | null;
  url: string;
  published: boolean;
  base: string | null;
  handlers: string[];
  versions: number;
  updatedAt: string;
}

export const ls: AddCommand = (program, cli) => {
  program
    .command('ls')
    .description('list functions')
    .action(async () => {
      const answer = await cli.client().call<{ functions: FunctionView[] }>('GET', '/v1/functions');
      cli.show(answer, () =>
        table(
          ['NAME', 'VERSION', 'BASE', 'TRIGGERS', 'PUBLISHED', 'CHANGED', 'URL'],
          answer.functions.map((one) => [
            one.name,
            servedBy(one),
            one.base,
            one.handlers,
            one.published,
            time(one.updatedAt),
            one.published ? one.url : null,
          ]),
          'no functions; deploy one with "hearth deploy"',
        ),
      );
    });
};

/** `3fa9c1d2e4b5`, and how many more have a part of the traffic. */
function servedBy({ version, traffic }: FunctionView): string {
  const more = (traffic?.split.length ?? 1) - 1;
  return more > 0 ? `${short(version)} +${more}` : short(version);
}
