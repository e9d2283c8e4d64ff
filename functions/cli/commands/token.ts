/** `hearth token`: tokens that may do one thing each. */
import type { AddCommand } from '../cli.ts';
import { segment } from '../client.ts';
import { collect } from '../input.ts';
import { facts, table, time } from '../output.ts';

interface Token {
  id: string;
  scopes: string[];
  trustGroups: string[];
  routes: string[];
  createdAt: string;
}

export const token: AddCommand = (program, cli) => {
  const tokens = program.command('token').description('make, list and revoke scoped tokens');
  tokens
    .command('create')
    .description('make one; its text is shown this once')
    .argument(
      '<scope...>',
      'read, or enqueue:, publish:, invoke:, rpc:, deploy:, override:, profile: or config: with a name or pattern',
    )
    .option('--trust-group <name>', 'a deployer may use it; may be given several times', collect)
    .option('--route <pattern>', 'a deployer may claim it; may be given several times', collect)
    .action(async (scopes: string[], { trustGroup, route }: { trustGroup?: string[]; route?: string[] }) => {
      const made = await cli.client().call<Token & { token: string }>('POST', '/v1/tokens', {
        json: { scopes, trustGroups: trustGroup, routes: route },
      });
      cli.show(made, () =>
        facts([
          ['token', made.token],
          ['id', made.id],
          ['scopes', made.scopes],
          ['trust groups', made.trustGroups],
          ['routes', made.routes],
        ]),
      );
    });
  tokens
    .command('ls')
    .description('list them, without their text')
    .action(async () => {
      const answer = await cli.client().call<{ tokens: Token[] }>('GET', '/v1/tokens');
      cli.show(answer, () =>
        table(
          ['ID', 'SCOPES', 'TRUST GROUPS', 'ROUTES', 'MADE'],
          answer.tokens.map((one) => [one.id, one.scopes, one.trustGroups, one.routes, time(one.createdAt)]),
        ),
      );
    });
  tokens
    .command('rm')
    .description('revoke one, at once')
    .argument('<id>')
    .action(async (id: string) => {
      await cli.client().call('DELETE', `/v1/tokens/${segment(id)}`);
      cli.show({ id, revoked: true }, () => `${id} is revoked`);
    });
};
