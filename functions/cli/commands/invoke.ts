/** `hearth invoke`: any trigger by hand. The answer's body goes to standard output, what is told about it to the other. */
import { setTimeout as wait } from 'node:timers/promises';
import type { AddCommand, Cli } from '../cli.ts';
import { type Client, segment } from '../client.ts';
import { Failure, UsageError } from '../failure.ts';
import { collect, headersOf, textOf } from '../input.ts';
import { ms, plain, short } from '../output.ts';

interface Options {
  method?: string;
  header?: string[];
  data?: string;
  include?: true;
  cron?: string | true;
  queue?: string | true;
  of?: string;
  async?: true;
  wait?: true;
}

interface Outcome {
  invocationId: string;
  version: string;
  start: string;
  phases: Record<string, number>;
  status?: number;
  headers?: Record<string, string | string[]>;
  body?: string;
  bodyEncoding?: 'text' | 'base64';
  noRetry?: boolean;
  verdicts?: { id: string; verdict: string; delaySeconds?: number }[];
  error?: { name: string; message: string };
}

export const invoke: AddCommand = (program, cli) => {
  program
    .command('invoke')
    .description('call a function as a request would, or as a cron tick or a queue message would')
    .argument('<function>')
    .argument('[path]', 'path with query', '/')
    .option('-X, --method <method>', 'default: GET, with --data POST')
    .option('-H, --header <header>', '"name: value"; may be given several times', collect)
    .option('-d, --data <text>', 'the body, or with --queue the message; @file reads it from a file, @- from stdin')
    .option('-i, --include', 'print status and headers before the body')
    .option('--cron [expression]', "as a tick of it (default: the manifest's first)")
    .option('--queue [name]', "as a message of it, JSON where it is JSON (default: the manifest's first)")
    .option('--of <version>', 'by this version, whatever the traffic says')
    .option('--async', 'do not wait: print the id of the invocation once it is durable')
    .option('--wait', 'with --async: wait for its end, retries included, and print what came of it')
    .action(async (name: string, path: string, options: Options) => {
      if (options.wait && !options.async) throw new UsageError('--wait is of use with --async only.');
      const client = cli.client();
      const call = `/v1/functions/${segment(name)}/invoke`;
      const json = {
        ...(await triggerOf(path, options, cli)),
        ...(options.of === undefined ? {} : { version: options.of }),
      };
      if (options.async) {
        const accepted = await client.call<{ invocationId: string }>('POST', call, {
          json: { ...json, mode: 'async' },
        });
        if (options.wait) printEnd(await ended(client, accepted.invocationId), options, cli);
        else cli.show(accepted, () => accepted.invocationId);
        return;
      }
      const outcome = await client.call<Outcome>('POST', call, { json });
      if (cli.json()) cli.show(outcome, () => '');
      else print(outcome, options, cli);
    });
};

/** Of GET /v1/invocations/ID what is looked at here. */
interface Invocation {
  id: string;
  function: string;
  state: 'queued' | 'running' | 'ok' | 'error';
  attempts: number;
  version: string | null;
  start: string | null;
  phases: Record<string, number> | null;
  result: Partial<Outcome> | null;
  error: { code: string; message: string } | null;
}

const FIRST_LOOK_MS = 50;
const MOST_LOOK_MS = 1_000;

async function ended(client: Client, id: string): Promise<Invocation> {
  for (let pauseMs = FIRST_LOOK_MS; ; pauseMs = Math.min(MOST_LOOK_MS, pauseMs * 1.5)) {
    const invocation = await client.call<Invocation>('GET', `/v1/invocations/${segment(id)}`);
    if (invocation.state === 'ok' || invocation.state === 'error') return invocation;
    await wait(pauseMs);
  }
}

/** @throws Failure when it ended in an error. */
function printEnd(invocation: Invocation, options: Options, cli: Cli): void {
  const { id, attempts, error, result, version, start, phases } = invocation;
  const facts = { invocationId: id, version: version ?? '', start: start ?? 'elsewhere', phases: phases ?? {} };
  if (cli.json()) cli.show(invocation, () => '');
  else if (result !== null) print({ ...result, ...facts }, options, cli);
  if (error === null) return;
  throw new Failure(
    `${error.message} (${error.code}, after ${attempts} ${attempts === 1 ? 'attempt' : 'attempts'})`,
    `Read its log: hearth logs ${invocation.function} --invocation ${id}`,
  );
}

async function triggerOf(path: string, options: Options, cli: Cli): Promise<Record<string, unknown>> {
  const { cron, queue, data } = options;
  if (cron !== undefined && queue !== undefined) throw new UsageError('It is either --cron or --queue.');
  const body = data === undefined ? undefined : await textOf(data, cli);
  if (cron !== undefined) return { trigger: 'cron', ...(cron === true ? {} : { cron }) };
  if (queue !== undefined) {
    const message = body === undefined ? { body: null } : messageOf(body);
    return { trigger: 'queue', ...(queue === true ? {} : { queue }), messages: [message] };
  }
  return {
    trigger: 'http',
    method: options.method ?? (body === undefined ? 'GET' : 'POST'),
    path,
    headers: headersOf(options.header ?? []),
    ...(body === undefined ? {} : { body }),
  };
}

/** A queue's message: JSON where the text is JSON, else the text. */
export function messageOf(text: string): { body: unknown; contentType?: 'text' } {
  try {
    return { body: JSON.parse(text) };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { body: text, contentType: 'text' };
  }
}

function print(outcome: Outcome, options: Options, cli: Cli): void {
  const { status, headers = {}, verdicts = [], error } = outcome;
  if (options.include && status !== undefined) {
    const lines = Object.entries(headers).flatMap(([name, value]) => [value].flat().map((one) => `${name}: ${one}`));
    cli.stdout.write(`${plain([`HTTP ${status}`, ...lines].join('\n'))}\n\n`);
  }
  const body = Buffer.from(outcome.body ?? '', outcome.bodyEncoding === 'base64' ? 'base64' : 'utf8');
  if (body.length > 0) cli.stdout.write(cli.stdout.isTTY ? `${plain(body.toString())}\n` : body);
  for (const { id, verdict, delaySeconds } of verdicts) {
    const after = delaySeconds === undefined ? '' : ` after ${delaySeconds} s`;
    cli.stdout.write(`${plain(`${id}  ${verdict}${after}`)}\n`);
  }
  if (error !== undefined) cli.note(`threw ${error.name}: ${error.message}`);
  if (outcome.noRetry) cli.note('asked for no retry');
  const phases = Object.entries(outcome.phases).map(([phase, value]) => `${phase} ${ms(value)}`);
  const what = status === undefined ? 'done' : String(status);
  cli.note(
    `${what}, ${outcome.start}, ${phases.join(', ')}; version ${short(outcome.version)}, invocation ${outcome.invocationId}`,
  );
}
