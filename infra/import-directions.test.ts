/** That the linter holds the directions in which folders may import one another: each one is tried. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { type TestContext, test } from 'node:test';

const ROOT = join(import.meta.dirname, '..');
const BIOME = join(ROOT, 'node_modules/.bin/biome');

const GATEWAY = 'gateway/config.ts';
const KEEPER = 'pool/keeper/api.ts';
const HOST = 'pool/host/messages.ts';
const BASE = 'pool/base/task.ts';
const LINK = 'pool/link/link.ts';
const BUILD = 'functions/build/api.ts';
const RUNTIME = 'functions/runtime/hearth.ts';
const CONTRACT = 'functions/contract/errors.ts';
const CLI = 'functions/cli/main.ts';
const EXAMPLE = 'functions/examples/hello/index.ts';
const BENCH = 'bench/main.ts';
const PISCINA = 'piscina';

/** By folder: what may be imported there, and what may not. Folders deep down are tried as well as their roots. */
const DIRECTIONS: Record<string, { may: string[]; mayNot: string[] }> = {
  'functions/contract': {
    may: [],
    mayNot: [GATEWAY, KEEPER, HOST, BASE, LINK, BUILD, RUNTIME, CLI, EXAMPLE, BENCH, PISCINA],
  },
  'functions/build': {
    may: [CONTRACT],
    mayNot: [GATEWAY, KEEPER, HOST, BASE, LINK, RUNTIME, CLI, EXAMPLE, BENCH, PISCINA],
  },
  'functions/runtime': {
    may: [CONTRACT],
    mayNot: [GATEWAY, KEEPER, HOST, BASE, LINK, BUILD, CLI, EXAMPLE, BENCH, PISCINA],
  },
  'functions/cli': {
    may: [CONTRACT],
    mayNot: [GATEWAY, KEEPER, HOST, BASE, LINK, BUILD, RUNTIME, EXAMPLE, BENCH, PISCINA],
  },
  'functions/examples/hello': {
    may: [],
    mayNot: [GATEWAY, KEEPER, HOST, BASE, LINK, BUILD, RUNTIME, CONTRACT, CLI, BENCH, PISCINA],
  },
  'pool/link': {
    may: [],
    mayNot: [GATEWAY, KEEPER, HOST, BASE, BUILD, RUNTIME, CLI, EXAMPLE, BENCH, PISCINA],
  },
  'pool/base/policy': {
    may: [LINK, CONTRACT, RUNTIME],
    mayNot: [GATEWAY, KEEPER, HOST, BUILD, CLI, EXAMPLE, BENCH, PISCINA],
  },
  'pool/host': {
    may: [BASE, LINK, CONTRACT, PISCINA],
    mayNot: [GATEWAY, KEEPER, BUILD, CLI, EXAMPLE, BENCH],
  },
  'pool/keeper': {
    may: [HOST, BASE, LINK, CONTRACT],
    mayNot: [GATEWAY, 'pool/host/main.ts', 'pool/base/main.ts', BUILD, RUNTIME, CLI, EXAMPLE, BENCH, PISCINA],
  },
  'gateway/control': {
    may: [KEEPER, LINK, BUILD, CONTRACT],
    mayNot: [HOST, BASE, RUNTIME, CLI, EXAMPLE, BENCH, PISCINA],
  },
  'infra/tracing': { may: [], mayNot: [BENCH, PISCINA] },
};

test('the linter refuses each import that points the wrong way, in every folder, and no other', async (t) => {
  const tried = new Map<string, string[]>();
  for (const [folder, { may, mayNot }] of Object.entries(DIRECTIONS))
    tried.set(`${folder}/tried.ts`, [...mayNot, ...may]);
  tried.set('gateway/tried.test.ts', [BENCH, BASE, PISCINA]);
  tried.set('pool/keeper/testing/tried.ts', [BENCH, GATEWAY]);
  const refused = await lint(t, tried);
  for (const [folder, { mayNot }] of Object.entries(DIRECTIONS)) {
    assert.deepEqual(refused.get(`${folder}/tried.ts`), mayNot.toSorted(), `in ${folder}`);
  }
  // Tests reach across folders, and into bench no more than the rest.
  assert.deepEqual(refused.get('gateway/tried.test.ts'), [BENCH]);
  assert.deepEqual(refused.get('pool/keeper/testing/tried.ts'), [BENCH]);
});

/** Which targets are refused, by file: one import on each line, under the settings of the repository. */
async function lint(t: TestContext, tried: Map<string, string[]>): Promise<Map<string, string[]>> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'hearth-lint-')));
  t.after(() => rm(root, { recursive: true, force: true }));
  const { vcs, ...settings } = JSON.parse(await readFile(join(ROOT, 'biome.json'), 'utf8'));
  assert.ok(vcs, 'the settings were read');
  await writeFile(join(root, 'biome.json'), JSON.stringify(settings));
  for (const [file, targets] of tried) {
    await mkdir(dirname(join(root, file)), { recursive: true });
    const lines = targets.map((target) => `import '${target === PISCINA ? target : specifier(file, target)}';\n`);
    await writeFile(join(root, file), lines.join(''));
  }
  const { stdout, stderr } = spawnSync(
    BIOME,
    ['lint', '--only=style/noRestrictedImports', '--reporter=github', '--max-diagnostics=none'],
    { cwd: root, encoding: 'utf8' },
  );
  const refused = new Map<string, string[]>();
  for (const [, path = '', line] of stdout.matchAll(/^::error .*?file=([^,]+),line=(\d+)/gm)) {
    const file = relative(root, resolve(root, path));
    const target = tried.get(file)?.[Number(line) - 1];
    assert.ok(target, `${path}: ${stderr}`);
    refused.set(file, [...(refused.get(file) ?? []), target].sort());
  }
  return refused;
}

function specifier(file: string, target: string): string {
  const path = relative(dirname(file), target);
  return path.startsWith('.') ? path : `./${path}`;
}
