/**
 * What a base loads at boot, bundled once per start of the gateway: stripping TypeScript and resolving some dozens of
 * files again in each thread costs more than all the rest of a boot. Beside it stands V8's code cache of it, without
 * which compiling takes each base three times as long.
 */
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';

/**
 * Node's flags of each host. V8 takes a code cache only under the flags with which it was made. Its own cache of what it
 * compiled would keep every version that a group's base ever held, 60 KB for each that is 50 KB long, and find none again.
 */
export const HOST_FLAGS = [
  ...['--disable-sigusr1', '--no-experimental-ffi', '--no-warnings', '--expose-gc'],
  '--no-compilation-cache',
];

/** Resolves with the file that a base's thread runs; it needs what stands in the same directory, and nothing else. */
export async function bundleBase(runDir: string): Promise<string> {
  const directory = path.join(runDir, 'base');
  await mkdir(directory, { recursive: true });
  const code = path.join(directory, 'base.js');
  const cache = path.join(directory, 'base.cache');
  const entry = path.join(directory, 'base.cjs');
  await build({
    entryPoints: [path.join(import.meta.dirname, '../../base/main.ts')],
    outfile: code,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node26',
    logLevel: 'error',
    legalComments: 'none',
    banner: { js: '(function (exports, require, module, __filename, __dirname) {' },
    footer: { js: '})' },
  });
  const maker = path.join(directory, 'make-cache.cjs');
  await Promise.all([
    writeFile(entry, loader(code, `, cachedData: readFileSync(${JSON.stringify(cache)})`)),
    // Made once its top level has run, so that what each boot calls there is in it.
    writeFile(
      maker,
      `${loader(code, '')}require('node:fs').writeFileSync(${JSON.stringify(cache)}, script.createCachedData());\n`,
    ),
  ]);
  await promisify(execFile)(process.execPath, [...HOST_FLAGS, maker], { env: {} });
  return entry;
}

/** Runs the bundle as `require` would. A cache that V8 does not take is as none. */
function loader(code: string, more: string): string {
  return `'use strict';
const { readFileSync } = require('node:fs');
const { constants, Script } = require('node:vm');
const filename = ${JSON.stringify(code)};
const script = new Script(readFileSync(filename, 'utf8'), {
  filename,
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER${more},
});
script.runInThisContext()(module.exports, require, module, filename, __dirname);
module.exports.cacheTaken = script.cachedDataRejected === false;
`;
}
