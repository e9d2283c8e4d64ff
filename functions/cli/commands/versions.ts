/** `hearth versions`: what is kept of a function, newest first. */
import type { AddCommand } from '../cli.ts';
import { segment } from '../client.ts';
import { bytes, short, table, time } from '../output.ts';

interface VersionView {
  version: string;
  active: boolean;
  percent: number;
  handlers: string[];
  sizeBytes: number;
  createdAt: string;
}

export const versions: AddCommand = (program, cli) => {
  program
    .command('versions')
    .description('list the versions of a function')
    .argument('<function>')
    .action(async (name: string) => {
      const path = `/v1/functions/${segment(name)}/versions`;
      const answer = await cli.client().call<{ versions: VersionView[] }>('GET', path);
      cli.show(answer, () =>
        table(
          ['VERSION', 'TRAFFIC', 'TRIGGERS', 'SIZE', 'DEPLOYED'],
          answer.versions.map((one) => [
            short(one.version),
            one.active ? `${one.percent} %` : null,
            one.handlers,
            bytes(one.sizeBytes),
            time(one.createdAt),
          ]),
        ),
      );
    });
};
