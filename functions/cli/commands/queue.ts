/** `hearth queue`: messages in, dead letters and the way back. */
import type { AddCommand } from '../cli.ts';
import { segment } from '../client.ts';
import { number, textOf } from '../input.ts';
import { table, time } from '../output.ts';
import { messageOf } from './invoke.ts';

interface Queue {
  name: string;
  consumer: string | null;
  settings: { paused: boolean };
  depth: number;
  delayed: number;
  inFlight: number;
  oldestAgeMs: number | null;
  dead: number;
}

interface DeadMessage {
  id: string;
  body: unknown;
  diedAt: string;
  attempts: number;
  reason: string;
}

export const queue: AddCommand = (program, cli) => {
  const queues = program.command('queue').description('send messages, look at dead letters and bring them back');
  const pathOf = (name: string, what: string) => `/v1/queues/${segment(name)}/${what}`;
  queues
    .command('ls', { isDefault: true })
    .description('list queues')
    .action(async () => {
      const answer = await cli.client().call<{ queues: Queue[] }>('GET', '/v1/queues');
      cli.show(answer, () =>
        table(
          ['QUEUE', 'CONSUMER', 'DEPTH', 'DELAYED', 'IN FLIGHT', 'OLDEST', 'DEAD', 'STATE'],
          answer.queues.map((one) => [
            one.name,
            one.consumer,
            one.depth,
            one.delayed,
            one.inFlight,
            one.oldestAgeMs === null ? null : `${Math.round(one.oldestAgeMs / 1000)} s`,
            one.dead,
            one.settings.paused ? 'paused' : 'delivers',
          ]),
        ),
      );
    });
  queues
    .command('send')
    .description('send a message; done once it is durable')
    .argument('<queue>')
    .argument('<message>', 'JSON where it is JSON, else text; @file reads it from a file, @- from stdin')
    .option('--id <id>', 'the same id within 24 h is taken once')
    .option('--delay <seconds>', 'hold it back', number)
    .action(async (name: string, message: string, { id, delay }: { id?: string; delay?: number }) => {
      const json = { messages: [{ ...messageOf(await textOf(message, cli)), id, delaySeconds: delay }] };
      const sent = await cli.client().call<{ ids: string[]; duplicates: string[] }>('POST', pathOf(name, 'messages'), {
        json,
      });
      cli.show(sent, () =>
        sent.duplicates.length > 0 ? `${sent.duplicates[0]} was taken before` : `sent ${sent.ids[0]}`,
      );
    });
  queues
    .command('dead')
    .description('list dead letters, oldest death first')
    .argument('<queue>')
    .option('-n, --limit <count>', 'at most so many', number, 100)
    .action(async (name: string, { limit }: { limit: number }) => {
      const path = pathOf(name, 'dead');
      const answer = await cli.client().call<{ messages: DeadMessage[]; cursor: string | null }>('GET', path, {
        query: { limit: String(limit) },
      });
      cli.show(answer, () =>
        table(
          ['ID', 'DIED', 'ATTEMPTS', 'REASON', 'BODY'],
          answer.messages.map((one) => [one.id, time(one.diedAt), one.attempts, one.reason, bodyOf(one.body)]),
          'no dead letters',
        ),
      );
      if (answer.cursor !== null) cli.note('There are more: raise --limit.');
    });
  queues
    .command('redrive')
    .description('put dead letters back into the queue, all of them unless some are named')
    .argument('<queue>')
    .argument('[id...]')
    .action(async (name: string, ids: string[]) => {
      const answer = await cli.client().call<{ redriven: number }>('POST', pathOf(name, 'redrive'), {
        json: ids.length === 0 ? {} : { ids },
      });
      cli.show(answer, () => `${answer.redriven} back in ${name}`);
    });
};

function bodyOf(body: unknown): string {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
