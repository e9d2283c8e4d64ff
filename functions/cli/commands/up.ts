/** `hearth up`: the gateway in the foreground, in this process, as `npm start` does in Hearth's own directory. */
import type { AddCommand } from '../cli.ts';
import { GATEWAY_FLAGS, GATEWAY_MAIN } from '../gateway-entry.ts';

export const up: AddCommand = (program, cli) => {
  program
    .command('up')
    .description('start a gateway here, with its state in ./.hearth; "hearth up --help" lists its settings')
    .argument('[flags...]', 'settings of the gateway, such as --port 0')
    .helpOption(false)
    .allowUnknownOption()
    .action((flags: string[]) => {
      const env = Object.fromEntries(Object.entries(cli.env).filter(([, value]) => value !== undefined));
      // It takes this process over: signals, terminal and exit code are its own.
      process.execve?.(process.execPath, [process.execPath, ...GATEWAY_FLAGS, GATEWAY_MAIN, ...flags], env);
    });
};
