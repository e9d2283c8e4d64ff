/** The gateway's process: reads its settings, starts it, says where everything is, and ends with it. */
import { ConfigError, helpText, readConfig } from './config.ts';
import { readyLine, readyText } from './start/announce.ts';
import { endWithProcess, type Running } from './start/lifecycle.ts';
import { StartError } from './start/start-error.ts';
import { StoreStartError } from './store/start-error.ts';
import { createLogger } from './telemetry/log.ts';
import { startGateway } from './wiring/gateway.ts';

async function main(): Promise<void> {
  let running: Running | null = null;
  try {
    const { config, help } = readConfig(process.argv.slice(2), process.env);
    if (help) {
      process.stdout.write(helpText());
      return;
    }
    const pretty = process.stdout.isTTY === true;
    const log = createLogger({ level: config.log, pretty, write: (line) => process.stdout.write(line) });
    endWithProcess(() => running, log, process.exit);
    const ready = await startGateway(config, log, (parts) => {
      running = parts;
    });
    process.stdout.write(pretty ? readyText(ready) : readyLine(ready));
  } catch (error) {
    (running as Running | null)?.kill();
    const expected = error instanceof ConfigError || error instanceof StartError || error instanceof StoreStartError;
    process.stderr.write(
      `hearth: ${expected ? error.message : error instanceof Error ? error.stack : String(error)}\n`,
    );
    process.exit(error instanceof ConfigError ? 2 : 1);
  }
}

await main();
