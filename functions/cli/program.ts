/** The `hearth` command: its options, its commands, and what its exit code says. */

// Commander: nested commands that each have their help, usage errors that arrive as exceptions with a code, types and ES
// modules of its own, no dependency, and kept since 2011. (yargs brings six packages, clipanion one; citty is at 0.2.)
import { Command, CommanderError } from 'commander';
import { type AddCommand, createCli, type World } from './cli.ts';
import { tell } from './failure.ts';
import { plain, plainJson } from './output.ts';

/** Resolves with the exit code: 0, 1 (it failed), 2 (usage). `commands` in the order of the help. */
export async function run(
  argv: readonly string[],
  world: World,
  { version, commands }: { version: string; commands: readonly AddCommand[] },
): Promise<0 | 1 | 2> {
  const program = new Command('hearth')
    .description('Deploys functions to a Hearth gateway and operates it, over its control API.')
    .version(version)
    .option('--url <url>', 'the control API (default: HEARTH_URL, else http://127.0.0.1:8081)')
    .option('--json', 'print the result as JSON')
    .helpCommand(true)
    .addHelpText(
      'after',
      '\nThe token is HEARTH_TOKEN, else HEARTH_ADMIN_TOKEN, else the one in ./.hearth/admin-token (HEARTH_DATA_DIR).\nExit codes: 0, 1 (it failed), 2 (not called as it has to be).',
    );
  const cli = createCli(program, world);
  for (const add of commands) add(program, cli);
  prepare(program, world);
  let called = 'hearth';
  program.hook('preAction', (_program, action) => {
    called = pathOf(action);
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) {
      // What was asked for, not what went wrong. (Called without a command: 'commander.help', which is usage.)
      return ['commander.helpDisplayed', 'commander.version'].includes(error.code) ? 0 : 2;
    }
    const told = tell(error, called);
    world.stderr.write(`${cli.json() ? plainJson(told.json) : plain(told.text)}\n`);
    return told.exitCode;
  }
}

/** Commands inherit none of this once they are made. */
function prepare(command: Command, world: World): void {
  command
    .exitOverride()
    .showHelpAfterError(`Try "${pathOf(command)} --help".`)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => world.stdout.write(text),
      writeErr: (text) => world.stderr.write(text),
    });
  for (const child of command.commands) prepare(child, world);
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}
