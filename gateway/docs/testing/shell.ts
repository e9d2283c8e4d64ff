/** One bash that runs the blocks of a page one after another, as somebody who copies them into a terminal does. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface BlockResult {
  /** Whether a command of it ended with another status than 0. */
  failed: boolean;
  /** Standard output and error. */
  output: string;
}

export interface Shell extends AsyncDisposable {
  /** Variables and the working directory stay for the next one. Rejects when bash ends, or after LIMIT_MS. */
  run(code: string): Promise<BlockResult>;
}

const LIMIT_MS = 60_000;
const DONE = /\n@@done (\d+)\n$/;

/** `scratch` is a directory for the blocks themselves; `cwd` where they run. */
export function openShell(options: { cwd: string; scratch: string; env: NodeJS.ProcessEnv }): Shell {
  // A process group of its own, so that what blocks leave in the background ends with it.
  const child = spawn('bash', ['--norc', '--noprofile'], {
    cwd: options.cwd,
    env: options.env,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let output = '';
  let wake: () => void = () => undefined;
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      wake();
    });
  }
  const closed = once(child, 'close').then(() => wake());
  // Errors of every command count, inside of pipes and functions too, and do not end the session.
  child.stdin.write('set -o pipefail -E; trap "failed=1" ERR; exec 2>&1\n');
  let blocks = 0;

  return {
    async run(code) {
      const file = join(options.scratch, `block-${++blocks}.sh`);
      await writeFile(file, code);
      output = '';
      // From a file: a command that reads its input would otherwise read the commands that follow it.
      child.stdin.write(`failed=0; source ${file} </dev/null; printf '\\n@@done %d\\n' $failed\n`);
      let late = false;
      const limit = setTimeout(() => {
        late = true;
        wake();
      }, LIMIT_MS);
      try {
        for (;;) {
          const done = DONE.exec(output);
          if (done !== null) return { failed: done[1] !== '0', output: output.replace(DONE, '') };
          if (late) throw new Error(`not done after ${LIMIT_MS / 1000} s:\n${code}\n${output}`);
          if (child.exitCode !== null) throw new Error(`bash ended with ${child.exitCode}:\n${code}\n${output}`);
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      } finally {
        clearTimeout(limit);
      }
    },
    async [Symbol.asyncDispose]() {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
      await closed;
    },
  };
}
