/** Which file an installed library is loaded from, by Node's own rules for CommonJS. */
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';

/** Absolute path, undefined when it is not there. `importer`: the file from whose place it is looked for. */
export type FindLibrary = (specifier: string, importer: string) => string | undefined;

/** A built-in is nothing to share. */
export const findLibrary: FindLibrary = (specifier, importer) => {
  try {
    const path = createRequire(importer).resolve(specifier);
    return path === specifier ? undefined : path;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'MODULE_NOT_FOUND' || code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') return undefined;
    throw error;
  }
};

const LOOK = `const { createRequire } = require('node:module');
const found = JSON.parse(process.argv[1]).map(([specifier, importer]) => {
  try { return createRequire(importer).resolve(specifier); } catch { return null; }
});
process.stdout.write(JSON.stringify(found));`;

/**
 * The same as things are now: a process remembers for its whole life how a package was when it first looked, so one that
 * was upgraded since would not be found where it is. Asks a process of its own, once for all.
 */
export async function findAnew(specifiers: readonly string[], importers: readonly string[]): Promise<FindLibrary> {
  const asked = importers.flatMap((importer) => specifiers.map((specifier) => [specifier, importer] as const));
  const args = ['-e', LOOK, JSON.stringify(asked)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: {}, timeout: 20_000 });
  const found = JSON.parse(stdout) as (string | null)[];
  return (specifier, importer) => {
    const path = found[asked.findIndex(([name, from]) => name === specifier && from === importer)];
    return path === specifier ? undefined : (path ?? undefined);
  };
}
