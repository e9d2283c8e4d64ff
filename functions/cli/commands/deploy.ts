/** `hearth deploy`: sends a source file, or the files of a directory with its manifest. Nothing is bundled here. */
import { resolve } from 'node:path';
import type { AddCommand } from '../cli.ts';
import { segment } from '../client.ts';
import { checkedName, nameFromPath } from '../names.ts';
import { bytes, facts, ms, short } from '../output.ts';
import type { SourceTree } from '../source-tree.ts';

interface Deployed {
  name: string;
  version: string;
  state: string;
  url: string;
  sizeBytes: number;
  provided: { library: string; version: string; bytes: number }[];
  ownCopies?: { library: string; version: string; baseVersion: string }[];
  timings: { buildMs: number; loadMs: number; probeMs: number; totalMs: number };
}

export const deploy: AddCommand = (program, cli) => {
  program
    .command('deploy')
    .description('deploy a directory with its hearth.jsonc or wrangler file, or one source file')
    .argument('[path]', 'directory or file', '.')
    .option('--name <name>', "of the function (default: the manifest's, else from the path)")
    .option('--no-activate', 'build, prove and keep the version; leave the traffic alone')
    .action(async (given: string, options: { name?: string; activate: boolean }) => {
      // Here, because what reads manifests takes longer to load than any other command takes in all.
      const { readSource } = await import('../source-tree.ts');
      const path = resolve(cli.cwd, given);
      const source = await readSource(path);
      const name = options.name === undefined ? await nameOf(source, path) : checkedName(options.name);
      if (source.leftOut.length > 0) cli.note(`left out: ${source.leftOut.join(', ')}`);
      const form = new FormData();
      for (const [file, content] of source.files) form.append('files', new Blob([content]), file);
      const deployed = await cli.client().call<Deployed>('PUT', `/v1/functions/${segment(name)}`, {
        form,
        query: { activate: options.activate ? undefined : 'false' },
      });
      cli.show(deployed, () => told(deployed));
    });
};

/** @throws HearthError MANIFEST_INVALID, UsageError */
async function nameOf({ manifest }: SourceTree, path: string): Promise<string> {
  if (manifest === null) return nameFromPath(path);
  const { parseManifest } = await import('../../contract/manifest-file.ts');
  return parseManifest(manifest.text, manifest.path).name ?? nameFromPath(path);
}

function told({ name, version, state, url, sizeBytes, provided, ownCopies = [], timings }: Deployed): string {
  const { buildMs, loadMs, probeMs, totalMs } = timings;
  return facts([
    ['function', name],
    ['version', `${short(version)}, ${state === 'active' ? 'serves' : 'has no traffic'}`],
    ['url', url],
    ['size', bytes(sizeBytes)],
    ['time', `${ms(totalMs)} (build ${ms(buildMs)}, load ${ms(loadMs)}, probe ${ms(probeMs)})`],
    ['by the base', provided.map(({ library, version }) => `${library} ${version}`)],
    ...ownCopies.map((own) => ['own copy', `${own.library} ${own.version} (the base has ${own.baseVersion})`] as const),
  ]);
}
