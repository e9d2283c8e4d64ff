/** `hearth dev`: functions that are deployed in place with each save, on a gateway that is started where none runs. */
import { join, resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import type { AddCommand, Cli } from '../cli.ts';
import { createClient } from '../client.ts';
import { type Connection, connectionOf, isLoopback } from '../connection.ts';
import type { DevTeller } from '../dev/function.ts';
import { type DevGateway, freeOr0, startDevGateway } from '../dev/gateway.ts';
import { Failure, tell } from '../failure.ts';
import { LEVEL_COLOURS } from '../log-line.ts';
import { ms, plain } from '../output.ts';
import { createStacks } from '../stacks.ts';

interface Options {
  base?: string;
  port?: number;
  bundle: boolean;
  inspect?: number | true;
}

/** As Node's --inspect has it. */
const INSPECT_PORT = 9229;
const FUNCTIONS_PORT = 8080;

export const dev: AddCommand = (program, cli) => {
  program
    .command('dev')
    .description('deploy in place with each save, and print requests and logs; starts a gateway where none runs')
    .argument('[path...]', 'directories or files', ['.'])
    .option('--base <name>', 'run them on this base definition of hearth.config.jsonc')
    .option(
      '--port <port>',
      `of function traffic, for the gateway it starts (default: ${FUNCTIONS_PORT}, or a free one)`,
      port,
    )
    .option('--inspect [port]', 'a gateway of its own whose functions a debugger can stop in their source', port)
    .option('--no-bundle', 'send the files as they are')
    .action(async (given: string[], options: Options) => {
      const { developFunction, isDirectoryAt } = await import('../dev/function.ts');
      const paths = given.map((path) => resolve(cli.cwd, path));
      const places = paths.map((path) => ({ path, isDirectory: isDirectoryAt(path) }));
      const stopped = untilStopped();
      const { connection, gateway } = await gatewayFor(options, cli);
      try {
        const client = createClient(connection);
        const stacks = createStacks(client);
        const project = {
          name: undefined,
          base: options.base,
          bundle: options.bundle,
          inspect: options.inspect !== undefined,
        };
        const teller = tellerFor(cli);
        const functions = places.map((place) =>
          developFunction({ ...place, cwd: cli.cwd, project, client, stacks, teller }),
        );
        await Promise.all(functions.map(({ begun }) => begun));
        cli.note('watching; Ctrl-C ends it');
        const ended = gateway?.exited.then((how) => new Failure(`The gateway ${how}.`, 'Call hearth dev again.'));
        const failure = await Promise.race([stopped.signalled, ...(ended === undefined ? [] : [ended])]);
        await Promise.all(functions.map((one) => one.end()));
        if (failure !== null) throw failure;
      } finally {
        // Who does not want to wait.
        stopped.again(() => void gateway?.end());
        await gateway?.end();
      }
    });
};

function port(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > 65_535) throw new InvalidArgumentError('It has to be a port, from 0 to 65535.');
  return value;
}

/** Signals end the command in order: from here on they do not end the process by themselves. */
function untilStopped(): { signalled: Promise<null>; again(listener: () => void): void } {
  let count = 0;
  let impatient: () => void = () => undefined;
  const signalled = new Promise<null>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      process.on(signal, () => {
        resolve(null);
        if (++count > 1) impatient();
      });
    }
  });
  return {
    signalled,
    again(listener) {
      impatient = listener;
      if (count > 1) listener();
    },
  };
}

/** The one that answers at the URL; else one that is started here, and ended with this command. */
async function gatewayFor(options: Options, cli: Cli): Promise<{ connection: Connection; gateway: DevGateway | null }> {
  const dataDir = join(cli.cwd, '.hearth', 'dev');
  const connection = cli.connection();
  const there = await whatAnswers(connection.url);
  if (there === 'hearth' && options.inspect === undefined) {
    if (connection.token !== null) return { connection, gateway: null };
    // Of a `hearth dev` in this directory that still runs.
    return {
      connection: connectionOf({ ...cli, url: connection.url, env: { HEARTH_DATA_DIR: dataDir } }),
      gateway: null,
    };
  }
  if (!isLoopback(connection.url)) {
    throw new Failure(
      `Nothing answers at ${connection.url}.`,
      'Start Hearth there, or leave --url and HEARTH_URL out: then a gateway is started here.',
    );
  }
  const inspect = options.inspect === true ? INSPECT_PORT : options.inspect;
  const gateway = await startDevGateway({
    cwd: cli.cwd,
    env: cli.env,
    dataDir,
    port: options.port ?? (await freeOr0(FUNCTIONS_PORT)),
    adminPort: await freeOr0(Number(new URL(connection.url).port)),
    flags: inspect === undefined ? [] : ['--inspect', `${inspect}`],
    say: (line) => cli.note(`gateway: ${line}`),
  });
  cli.note(`gateway: functions at ${gateway.url}, control API at ${gateway.connection.url}, state in ${dataDir}`);
  return { connection: gateway.connection, gateway };
}

async function whatAnswers(url: string): Promise<'hearth' | 'nothing'> {
  try {
    const response = await fetch(`${url}/healthz`, { redirect: 'manual', signal: AbortSignal.timeout(2_000) });
    const body: unknown = response.ok ? await response.json() : null;
    return (body as { status?: string } | null)?.status === 'ok' ? 'hearth' : 'nothing';
  } catch {
    // Refused, not HTTP, or no JSON: whatever it is, it is not Hearth.
    return 'nothing';
  }
}

function tellerFor(cli: Cli): DevTeller {
  const at = (time: Date) => cli.paint('dim', time.toTimeString().slice(0, 8));
  return {
    deployed(deployed, tookMs) {
      const value = { event: 'deployed', ...deployed, tookMs };
      cli.line(value, () => {
        const took = `deployed in ${ms(Math.round(tookMs))}`;
        return `${at(new Date())}  ${cli.paint('bold', deployed.name)}  ${cli.paint('green', took)}  ${deployed.url}`;
      });
    },
    failed(path, error) {
      const { text, json } = tell(error, 'hearth dev');
      const value = { event: 'failed', path, ...json };
      cli.line(value, () => `${at(new Date())}  ${cli.paint('red', plain(text))}`);
    },
    line(name, line) {
      cli.line({ event: 'line', function: name, ...line }, () => {
        const format = LEVEL_COLOURS[line.level];
        const message = plain(line.message);
        return `${at(new Date(line.time))}  ${name}  ${format === undefined ? message : cli.paint(format, message)}`;
      });
    },
    call(name, call) {
      cli.line({ event: 'call', function: name, ...call }, () => {
        const { what, status, error, durationMs, start } = call;
        const outcome = String(status ?? error ?? 'done');
        const isBad = error !== null || (status ?? 200) >= 500;
        const facts = [
          ms(durationMs),
          ...(start === 'cold' ? [cli.paint('cyan', 'cold')] : start === null ? [] : [start]),
        ];
        const painted = cli.paint(isBad ? 'red' : 'green', outcome);
        return [at(new Date(call.time)), name, plain(what), painted, ...facts].join('  ');
      });
    },
  };
}
