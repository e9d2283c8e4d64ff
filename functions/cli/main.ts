/** Entry of the `hearth` command; bin.js has seen to the right Node. */
import { readFileSync } from 'node:fs';
import { bench } from './commands/bench.ts';
import { cron } from './commands/cron.ts';
import { deploy } from './commands/deploy.ts';
import { dev } from './commands/dev.ts';
import { init } from './commands/init.ts';
import { invoke } from './commands/invoke.ts';
import { logs } from './commands/logs.ts';
import { ls } from './commands/ls.ts';
import { pool } from './commands/pool.ts';
import { profile } from './commands/profile.ts';
import { publish, unpublish } from './commands/publish.ts';
import { queue } from './commands/queue.ts';
import { rollout } from './commands/rollout.ts';
import { secret } from './commands/secret.ts';
import { token } from './commands/token.ts';
import { rollback, traffic } from './commands/traffic.ts';
import { types } from './commands/types.ts';
import { up } from './commands/up.ts';
import { versions } from './commands/versions.ts';
import { run } from './program.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

// `hearth ls | head -1`: whoever reads has read enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

process.exitCode = await run(
  process.argv.slice(2),
  { env: process.env, cwd: process.cwd(), stdin: process.stdin, stdout: process.stdout, stderr: process.stderr },
  {
    version,
    commands: [
      ...[up, init, types, dev],
      ...[ls, deploy, invoke, logs, profile],
      ...[versions, traffic, rollback, rollout, publish, unpublish],
      ...[secret, token, cron, queue, pool, bench],
    ],
  },
);
