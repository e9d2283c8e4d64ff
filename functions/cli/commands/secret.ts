/** `hearth secret`: written, never read back. A value is no argument: `ps` and the shell's history would show it. */
import type { AddCommand } from '../cli.ts';
import { segment } from '../client.ts';
import { UsageError } from '../failure.ts';
import { secretOf } from '../input.ts';
import { table } from '../output.ts';

export const secret: AddCommand = (program, cli) => {
  const secrets = program.command('secret').description('set, list and remove secrets of a function');
  const pathOf = (name: string, key: string) => `/v1/functions/${segment(name)}/secrets/${segment(key)}`;
  secrets
    .command('set')
    .description('set one; its value is read from stdin, or asked for without being shown')
    .argument('<function>')
    .argument('<key>')
    .action(async (name: string, key: string) => {
      const value = await secretOf(`Value of ${key}: `, cli);
      if (value === '') throw new UsageError('The value is empty.', 'Pipe it: hearth secret set NAME KEY < file');
      await cli.client().call('PUT', pathOf(name, key), { json: { value } });
      cli.show({ function: name, key, set: true }, () => `${key} of ${name} is set`);
    });
  secrets
    .command('ls')
    .description('list their names')
    .argument('<function>')
    .action(async (name: string) => {
      const path = `/v1/functions/${segment(name)}/secrets`;
      const answer = await cli.client().call<{ secrets: { key: string }[] }>('GET', path);
      cli.show(answer, () =>
        table(
          ['KEY'],
          answer.secrets.map(({ key }) => [key]),
        ),
      );
    });
  secrets
    .command('rm')
    .description('remove one')
    .argument('<function>')
    .argument('<key>')
    .action(async (name: string, key: string) => {
      await cli.client().call('DELETE', pathOf(name, key));
      cli.show({ function: name, key, removed: true }, () => `${key} of ${name} is removed`);
    });
};
