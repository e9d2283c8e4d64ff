/**
 * Sends schemathesis' requests to a gateway of its own: every operation of the OpenAPI description, with what the
 * description allows and with what it does not. It fails when an answer is not what the description says, when the
 * status is none that it names, and on a 5xx that is not a function's own.
 *
 *     node infra/schemathesis/run.ts                   a thousand examples for each operation
 *     node infra/schemathesis/run.ts --examples 20     what .ci/run does
 *
 * Operations that take seconds each time (SLOW) get a tenth of that.
 *
 * Needs Python 3.10; schemathesis goes into .bin/schemathesis. Without Python nothing is run, which is said.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { startGateway, type TestGateway } from '../../gateway/testing/gateway.ts';

const run = promisify(execFile);

const HERE = import.meta.dirname;
const VENV = join(HERE, '../../.bin/schemathesis');
const REQUIREMENTS = join(HERE, 'requirements.txt');

/** A change of a base boots bases to prove it, a profile takes as long as it says. */
const SLOW = String.raw`^/v1/(bases/\{name\}(/rollback)?|functions/\{name\}/profile)$`;

const { values } = parseArgs({
  options: {
    examples: { type: 'string', default: '1000' },
    phases: { type: 'string', default: 'examples,coverage,fuzzing' },
    only: { type: 'string' },
    report: { type: 'string' },
    seed: { type: 'string' },
  },
});

if (await hasPython()) {
  await install();
  await using gateway = await startGateway({ examples: true });
  process.exitCode = await examine(gateway);
} else {
  console.log('schemathesis: skipped, there is no python3 of 3.10 or newer on PATH.');
}

async function hasPython(): Promise<boolean> {
  const check = 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))';
  return run('python3', ['-c', check]).then(
    () => true,
    () => false,
  );
}

/** Once, and again when the version that is wanted is another. */
async function install(): Promise<void> {
  const installed = join(VENV, 'requirements.txt');
  const [wanted, present] = await Promise.all([
    readFile(REQUIREMENTS, 'utf8'),
    readFile(installed, 'utf8').catch(() => ''),
  ]);
  if (wanted === present) return;
  await rm(VENV, { recursive: true, force: true });
  await run('python3', ['-m', 'venv', VENV]);
  await run(join(VENV, 'bin/pip'), ['install', '--quiet', '--disable-pip-version-check', '-r', REQUIREMENTS]);
  await copyFile(REQUIREMENTS, installed);
}

/** The exit code. */
async function examine(gateway: TestGateway): Promise<number> {
  const examples = Number(values.examples);
  const codes =
    values.only === undefined
      ? [
          await send(gateway, [`--exclude-path-regex=${SLOW}`, `--max-examples=${examples}`]),
          await send(gateway, [`--include-path-regex=${SLOW}`, `--max-examples=${Math.ceil(examples / 10)}`]),
        ]
      : [await send(gateway, [`--include-path-regex=${values.only}`, `--max-examples=${examples}`])];
  const failed = gateway.output().match(/^.*"a control call failed".*$/gm) ?? [];
  for (const line of failed) console.log(line);
  const { ok, status } = await fetch(`${gateway.adminUrl}/readyz`);
  console.log(
    `schemathesis: ended with ${codes.join(', ')}; the gateway is ${ok ? 'ready' : `not ready (${status})`}.`,
  );
  return codes.every((code) => code === 0) && failed.length === 0 && ok ? 0 : 1;
}

async function send(gateway: TestGateway, which: string[]): Promise<number | null> {
  const child = spawn(
    join(VENV, 'bin/schemathesis'),
    [
      `--config-file=${join(HERE, 'schemathesis.toml')}`,
      'run',
      `${gateway.adminUrl}/openapi.json`,
      `--header=Authorization: Bearer ${gateway.token}`,
      `--phases=${values.phases}`,
      ...which,
      ...(values.report === undefined ? [] : [`--report-ndjson-path=${resolve(values.report)}`]),
      ...(values.seed === undefined ? [] : [`--seed=${values.seed}`]),
    ],
    // Hypothesis would leave its database behind in the working directory.
    { cwd: gateway.dataDir, stdio: 'inherit' },
  );
  const [code] = (await once(child, 'close')) as [number | null];
  return code;
}
