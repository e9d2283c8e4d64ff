/** `hearth logs`: what a function wrote, and with -f what it writes. */
import type { AddCommand, Cli } from '../cli.ts';
import { segment } from '../client.ts';
import { Failure } from '../failure.ts';
import { number } from '../input.ts';
import { LEVEL_COLOURS, type LogLine } from '../log-line.ts';
import { plain, short } from '../output.ts';
import { createStacks } from '../stacks.ts';

interface Options {
  follow?: true;
  lines: number;
  invocation?: string;
  of?: string;
}

export const logs: AddCommand = (program, cli) => {
  program
    .command('logs')
    .description("print a function's log, oldest line first")
    .argument('<function>')
    .option('-f, --follow', 'go on with each new line; with --json one document on each line')
    .option('-n, --lines <count>', 'at most so many of those there are', number, 200)
    .option('--invocation <id>', 'only lines of this one')
    .option('--of <version>', 'only lines of this one, by at least eight characters')
    .action(async (name: string, { follow, lines, invocation, of }: Options) => {
      const client = cli.client();
      const stacks = createStacks(client);
      // A script gets what the API says.
      const print = async (line: LogLine) => {
        const message = cli.json() ? line.message : await stacks.mapped(name, line.version, line.message);
        cli.line(line, () => told({ ...line, message }, cli));
      };
      const path = `/v1/functions/${segment(name)}/logs`;
      const query = { limit: String(lines), invocation, version: of };
      if (follow === undefined) {
        const answer = await client.call<{ lines: LogLine[]; dropped: number }>('GET', path, { query });
        if (cli.json()) cli.show(answer, () => '');
        else for (const line of answer.lines) await print(line);
        if (answer.dropped > 0) cli.note(`${answer.dropped} older lines are no longer kept`);
        return;
      }
      try {
        for await (const { event, data } of client.events(path, { ...query, follow: 'true' })) {
          if (event !== 'line') continue;
          await print(JSON.parse(data) as LogLine);
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
      }
      throw new Failure('The gateway ended the stream.', 'Call it again once Hearth runs again.');
    });
};

function told({ time, level, message, version }: LogLine, cli: Cli): string {
  const colour = LEVEL_COLOURS[level];
  const head = cli.paint('dim', plain(time));
  const rest = plain(`${level.padEnd(5)}  ${short(version)}  ${message}`);
  return `${head}  ${colour === undefined ? rest : cli.paint(colour, rest)}`;
}
