/**
 * What `npm pack` puts into the package: dist/, which mirrors the tree with JavaScript for TypeScript, since Node strips
 * no types below node_modules. Examples and templates stay as their authors write them: they are deployed, not run.
 */
import { spawnSync } from 'node:child_process';
import { cp, glob, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
const DIST = join(ROOT, 'dist');
const SOURCES = ['gateway', 'pool', 'functions'];
/** Sources of those who use Hearth. */
const AS_WRITTEN = /^functions\/(examples|cli\/templates)\//;
const ONLY_FOR_US = /(^|\/)(testing|fixtures|node_modules)(\/|$)|\.test\.[jt]s$/;

/** A file that is named beside the place of its module, such as `new URL('./thread.ts', import.meta.url)`. */
const BESIDE = /^.*\bimport\.meta\.(?:url|dirname)\b.*$/gm;
const TYPESCRIPT_FILE = /(['"])([\w./-]+)\.ts\1/g;

await rm(DIST, { recursive: true, force: true });
compile();
for await (const path of glob('**/*.js', { cwd: DIST })) await nameJavaScript(join(DIST, path));
for (const path of await filesToCopy()) {
  await mkdir(dirname(join(DIST, path)), { recursive: true });
  await cp(join(ROOT, path), join(DIST, path));
}

/** Import specifiers are the compiler's to rewrite. Types were checked before. */
function compile(): void {
  const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
  const { status } = spawnSync(process.execPath, [tsc, '-p', join(import.meta.dirname, 'tsconfig.json')], {
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error(`tsc ended with ${status}`);
}

async function nameJavaScript(file: string): Promise<void> {
  const text = await readFile(file, 'utf8');
  const named = text.replace(BESIDE, (line) => line.replace(TYPESCRIPT_FILE, '$1$2.js$1'));
  if (named !== text) await writeFile(file, named);
}

/** What the compiler leaves: pages, examples, templates, the entry of the command. */
async function filesToCopy(): Promise<string[]> {
  const found: string[] = ['package.json', 'SECURITY.md'];
  for (const source of SOURCES) {
    for await (const entry of glob(`${source}/**/*`, { cwd: ROOT, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name).slice(ROOT.length + 1);
      if (!ONLY_FOR_US.test(path) && (AS_WRITTEN.test(path) || !path.endsWith('.ts'))) found.push(path);
    }
  }
  return found;
}
