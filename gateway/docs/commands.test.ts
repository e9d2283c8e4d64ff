/**
 * Every command of README's "Ten minutes" and of the docs pages, run in their order in a fresh folder against a gateway of
 * its own. What is changed before they run is all here: ports, what starts Hearth, and how one waits.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { findJaeger, type Jaeger, startJaeger } from '../telemetry/testing/jaeger.ts';
import { startGateway, type TestGateway } from '../testing/gateway.ts';
import { type Block, blocksOf, section } from './testing/blocks.ts';
import { openShell, type Shell } from './testing/shell.ts';

const ROOT = join(import.meta.dirname, '../..');
const PAGES = join(import.meta.dirname, 'pages');

/** The first command of all; the test has started Hearth. `.ci/run` runs this very line. */
const START = 'npm ci && npm start\n';

/** How often a block after `sleep` is looked at, until it shows what it has to. */
const LOOKS = 600;
const PAUSE_MS = 100;

/** A block that asks Jaeger is run where there is one; `.ci/run` builds it. */
const ASKS_JAEGER = /^npm run --silent trace\b/m;

let folder: string;
let jaeger: Jaeger | null = null;
let gateway: TestGateway;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hearth-docs-'));
  mkdirSync(join(folder, 'bin'));
  symlinkSync(join(ROOT, 'functions/cli/bin.js'), join(folder, 'bin/hearth'));
  const binary = findJaeger();
  jaeger = binary === null ? null : await startJaeger(binary);
  const env: Record<string, string> = jaeger === null ? {} : { OTEL_EXPORTER_OTLP_ENDPOINT: jaeger.otlpUrl };
  gateway = await startGateway({ env, dataDir: join(folder, '.hearth'), cwd: folder, examples: true });
});

after(async () => {
  await gateway?.[Symbol.asyncDispose]();
  await jaeger?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

test("README's first ten minutes do what it says", { timeout: 115_000 }, async () => {
  await follow('README.md', section(readFileSync(join(ROOT, 'README.md'), 'utf8'), '## Ten minutes'));
});

for (const file of readdirSync(PAGES)) {
  const text = readFileSync(join(PAGES, file), 'utf8');
  if (blocksOf(text).length === 0) continue;
  test(`the commands of ${file} do what the page says`, { timeout: 115_000 }, () => follow(file, text));
}

test('pages need no token, run no script, and come from this gateway alone', async () => {
  const page = await fetch(`${gateway.adminUrl}/docs/operations`);
  assert.deepEqual([page.status, page.headers.get('content-type')], [200, 'text/html; charset=UTF-8']);
  const policy = page.headers.get('content-security-policy') ?? '';
  assert.match(policy, /^default-src 'none'; style-src 'self';/);
  assert.doesNotMatch(policy, /script-src|unsafe/);
  const style = await fetch(`${gateway.adminUrl}/docs/style.css`);
  assert.deepEqual([style.status, style.headers.get('content-type')], [200, 'text/css; charset=utf-8']);
  for (const name of ['no-such-page', '..%2fopen', 'commands.test']) {
    const missing = await fetch(`${gateway.adminUrl}/docs/${name}`);
    assert.equal(missing.status, 404, name);
    await missing.text();
  }
});

async function follow(page: string, markdown: string): Promise<void> {
  // As Hearth's own directory looks to whoever follows the page, without what others have left in it.
  const cwd = join(folder, basename(page, '.md'));
  mkdirSync(cwd);
  for (const part of ['functions', 'gateway', 'infra', 'node_modules', 'package.json', 'pool']) {
    symlinkSync(join(ROOT, part), join(cwd, part));
  }
  symlinkSync(gateway.dataDir, join(cwd, '.hearth'));
  const env = {
    PATH: `${join(folder, 'bin')}:${join(ROOT, 'node_modules/.bin')}:${process.env.PATH}`,
    HOME: folder,
    HEARTH_URL: gateway.adminUrl,
    ...(jaeger === null ? {} : { JAEGER_URL: jaeger.queryUrl }),
  };
  await using shell = openShell({ cwd, scratch: folder, env });
  for (const block of blocksOf(markdown)) {
    const left = block.code === START || (jaeger === null && ASKS_JAEGER.test(block.code));
    if (!left) await hold(shell, block, `${page}:${block.line}`);
  }
}

async function hold(shell: Shell, block: Block, place: string): Promise<void> {
  const [first = '', ...waited] = rewritten(block.code).split(/^sleep \d+(?:; |[^\n]*\n)/m);
  let result = await shell.run(first);
  assert.ok(!result.failed, `${place}: a command failed\n${block.code}\n${result.output}`);
  for (const part of waited) {
    const before = result.output;
    for (let look = 0; look < LOOKS; look++) {
      const next = await shell.run(part);
      result = { failed: next.failed, output: before + next.output };
      if (!result.failed && missing(block, result.output).length === 0) break;
      await pause(PAUSE_MS);
    }
  }
  const { failed, output } = result;
  assert.ok(!failed, `${place}: a command failed\n${block.code}\n${output}`);
  assert.deepEqual(missing(block, output), [], `${place}: this is not in the output\n${block.code}\n${output}`);
  if (block.expect.length === 0) {
    assert.equal(output.trim(), '', `${place}: say in the fence what to expect of this\n${block.code}`);
  }
}

function missing({ expect }: Block, output: string): string[] {
  return expect.filter((fragment) => !output.includes(fragment));
}

/** 8080 is where functions answer, 8081 the control API. */
function rewritten(code: string): string {
  return code
    .replaceAll(/(?<=(localhost|127\.0\.0\.1):)8080\b/g, new URL(gateway.url).port)
    .replaceAll(/(?<=(localhost|127\.0\.0\.1):)8081\b/g, new URL(gateway.adminUrl).port);
}
