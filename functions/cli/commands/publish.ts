/** `hearth publish` and `hearth unpublish`: who reaches a function, apart from its deploy. */
import type { AddCommand } from '../cli.ts';
import { segment } from '../client.ts';
import { collect } from '../input.ts';
import { facts, table } from '../output.ts';

interface Publication {
  name: string;
  function: string;
  routes: string[];
  byName: boolean;
  crons: string[];
  queues: string[];
  tag: string | null;
  implied: boolean;
}

interface Options {
  function?: string;
  route?: string[];
  cron?: string[];
  queue?: string[];
  tag?: string;
}

export const publish: AddCommand = (program, cli) => {
  program
    .command('publish')
    .description('publish a function, or list what is published; what is not named is as in the manifest')
    .argument('[name]', 'of the publication')
    .option('--function <name>', 'whose it is (default: the one of that name)')
    .option('--route <pattern>', 'such as "example.com/api/*"; may be given several times', collect)
    .option('--cron <expression>', 'may be given several times', collect)
    .option('--queue <name>', 'may be given several times', collect)
    .option('--tag <tag>', 'answer only requests that carry it')
    .action(async (name: string | undefined, { function: owner = name, route, cron, queue, tag }: Options) => {
      if (name === undefined) {
        const answer = await cli.client().call<{ publications: Publication[] }>('GET', '/v1/publications');
        cli.show(answer, () =>
          table(
            ['NAME', 'FUNCTION', 'ROUTES', 'CRONS', 'QUEUES', 'TAG', 'BY'],
            answer.publications.map((one) => [
              one.name,
              one.function,
              [...(one.byName ? [`/${one.name}`] : []), ...one.routes],
              one.crons,
              one.queues,
              one.tag,
              one.implied ? 'manifest' : 'hand',
            ]),
          ),
        );
        return;
      }
      const published = await cli.client().call<Publication>('PUT', `/v1/publications/${segment(name)}`, {
        json: { function: owner, routes: route, crons: cron, queues: queue, tag },
      });
      cli.show(published, () =>
        facts([
          ['published', published.name],
          ['function', published.function],
          ['routes', [...(published.byName ? [`/${published.name}`] : []), ...published.routes]],
          ['crons', published.crons],
          ['queues', published.queues],
          ['tag', published.tag],
        ]),
      );
    });
};

export const unpublish: AddCommand = (program, cli) => {
  program
    .command('unpublish')
    .description('take a publication back: what runs ends, nothing new comes in')
    .argument('<name>')
    .action(async (name: string) => {
      await cli.client().call('DELETE', `/v1/publications/${segment(name)}`);
      cli.show({ unpublished: name }, () => `${name} is published no more`);
    });
};
