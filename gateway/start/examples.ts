/** The examples that a new installation starts with, deployed the way anybody deploys. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, relative, sep } from 'node:path';
import { HearthError, toHearthError } from '../../functions/contract/errors.ts';
import { MANIFEST_FILES, parseManifest } from '../../functions/contract/manifest-file.ts';
import type { Deployer } from '../control/deploy.ts';
import type { UploadFile } from '../control/upload.ts';
import type { Logger } from '../telemetry/log.ts';

const DEFAULT_BASE = 'default';
/** Has the base definitions that some of the examples need. */
const CONFIG_FILE = 'functions/examples/hearth.config.jsonc';

/**
 * Deploys each folder that has a manifest, or stands in one that has none, and says which serve. One that fails is logged
 * and left out; those whose base this gateway does not have are passed over, and the log says how to get them.
 */
export async function deployExamples(
  directory: string,
  deployer: Pick<Deployer, 'deploy'>,
  bases: Pick<ReadonlyMap<string, unknown>, 'has'>,
  log: Logger,
): Promise<string[]> {
  const folders = await foldersWithManifest(directory);
  const based = folders.filter(({ base }) => bases.has(base));
  const passedOver = folders.filter(({ base }) => !bases.has(base)).map(({ name }) => name);
  if (passedOver.length > 0) {
    const how = `HEARTH_CONFIG=${CONFIG_FILE} has them, on an empty data directory`;
    log.info(`examples that need a base of their own are left out; ${how}`, { functions: passedOver });
  }
  const deployed: string[] = [];
  // One after another: each keeps the base that has proved it, and all at once would wait for bases in vain on a slow machine.
  for (const { name, folder } of based) {
    try {
      const files = await readExample(folder);
      await deployer.deploy({
        name,
        upload: { files, manifest: { kind: 'none' } },
        activate: true,
        actor: 'hearth',
        authorize: () => undefined,
      });
      deployed.push(name);
    } catch (error) {
      const { code, message } = toHearthError(error);
      log.error('an example was not deployed', { function: name, code, detail: message });
    }
  }
  return deployed;
}

interface ExampleFolder {
  /** Its own name is the function's, wherever it stands. */
  name: string;
  folder: string;
  base: string;
}

async function foldersWithManifest(directory: string): Promise<ExampleFolder[]> {
  const found: ExampleFolder[] = [];
  for (const entry of (await readdir(directory, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (!entry.isDirectory() || entry.name === 'node_modules') continue;
    const { name } = entry;
    const folder = join(directory, name);
    const manifest = MANIFEST_FILES.find((file) => existsSync(join(folder, file)));
    if (manifest === undefined) found.push(...(await foldersWithManifest(folder)));
    else found.push({ name, folder, base: baseOf(await readFile(join(folder, manifest), 'utf8'), manifest, name) });
  }
  return found;
}

/** Of a manifest that cannot be read the deploy says what is wrong. */
function baseOf(text: string, manifest: string, name: string): string {
  try {
    return parseManifest(text, manifest, name).hearth.base;
  } catch (error) {
    if (error instanceof HearthError) return DEFAULT_BASE;
    throw error;
  }
}

/** The example's own files, and the packages its package.json names as they are installed with Hearth. */
async function readExample(directory: string): Promise<UploadFile[]> {
  const own = await readTree(directory, '');
  const packageFile = join(directory, 'package.json');
  return existsSync(packageFile) ? [...own, ...(await readDependencies(packageFile))] : own;
}

/** With their own dependencies, each under the path that npm has given it: `node_modules/express/lib/express.js`. */
async function readDependencies(packageFile: string): Promise<UploadFile[]> {
  const files: UploadFile[] = [];
  const seen = new Set<string>();
  const todo = [packageFile];
  for (let file = todo.pop(); file !== undefined; file = todo.pop()) {
    const { dependencies = {} } = JSON.parse(await readFile(file, 'utf8')) as { dependencies?: Record<string, string> };
    for (const dependency of Object.keys(dependencies)) {
      const found = packageDirectory(dependency, file);
      if (seen.has(found)) continue;
      seen.add(found);
      const place = found.slice(found.indexOf(`${sep}node_modules${sep}`) + 1).replaceAll(sep, '/');
      files.push(...(await readTree(found, `${place}/`)));
      todo.push(join(found, 'package.json'));
    }
  }
  return files;
}

function packageDirectory(dependency: string, from: string): string {
  for (const folder of createRequire(from).resolve.paths(dependency) ?? []) {
    if (existsSync(join(folder, dependency, 'package.json'))) return join(folder, dependency);
  }
  throw new Error(`${dependency}, which ${from} names, is not installed`);
}

async function readTree(directory: string, prefix: string): Promise<UploadFile[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(
    paths
      .filter((path) => !relative(directory, path).split(sep).includes('node_modules'))
      .map(async (path) => ({
        path: prefix + relative(directory, path).replaceAll(sep, '/'),
        bytes: new Uint8Array(await readFile(path)),
      })),
  );
}
