#!/usr/bin/env node
// What npm links as `hearth`. Plain JavaScript, because the `node` on PATH may be any from 20 on, and the commands are
// TypeScript that Node 26 runs as it is: this starts them on the Node 26 of Hearth's own dependencies. In a package, which
// has no TypeScript, the commands stand in dist.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const source = new URL('./main.ts', import.meta.url);
const main = existsSync(source) ? source : new URL('../../dist/functions/cli/main.js', import.meta.url);

if (Number.parseInt(process.versions.node, 10) >= 26) {
  await import(main.href);
} else {
  const child = spawn(ownNode(), [fileURLToPath(main), ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`hearth: its own Node cannot be started: ${error.message}\n`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    // As a shell tells the end by a signal: 128 and its number.
    process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 143);
  });
}

function ownNode() {
  try {
    return join(dirname(createRequire(import.meta.url).resolve('node/package.json')), 'bin', 'node');
  } catch {
    const home = fileURLToPath(new URL('../..', import.meta.url));
    process.stderr.write(`hearth: Node 26 is not installed beside it; run "npm ci" in ${home}\n`);
    process.exit(1);
  }
}
