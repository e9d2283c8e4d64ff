/**
 * What a base loads at boot, bundled once per start of the gateway: stripping TypeScript and resolving some dozens of
 * files again in each thread costs more than all the rest of a boot.
 */
import path from 'node:path';
import { build } from 'esbuild';

export async function bundleBase(runDir: string): Promise<string> {
  const outfile = path.join(runDir, 'base.cjs');
  await build({
    entryPoints: [path.join(import.meta.dirname, '../base/main.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node26',
    logLevel: 'error',
    legalComments: 'none',
  });
  return outfile;
}
