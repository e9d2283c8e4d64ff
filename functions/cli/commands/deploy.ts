/** `hearth deploy`: sends a project, bundled with its own node_modules where it imports from there. */
import { relative, resolve } from 'node:path';
import type { AddCommand } from '../cli.ts';
import { bytes, facts, ms, short } from '../output.ts';
import { uploadProgress } from '../progress.ts';
import type { Deployed } from '../project.ts';

interface Options {
  name?: string;
  base?: string;
  bundle: boolean;
  activate: boolean;
}

export const deploy: AddCommand = (program, cli) => {
  program
    .command('deploy')
    .description('deploy a directory with its hearth.jsonc or wrangler file, or one source file')
    .argument('[path]', 'directory or file', '.')
    .option('--name <name>', "of the function (default: the manifest's, else from the path)")
    .option('--base <name>', "run it on this base definition (default: the manifest's)")
    .option('--no-bundle', 'send the files as they are; packages that the base does not share are then missing')
    .option('--no-activate', 'build, prove and keep the version; leave the traffic alone')
    .action(async (given: string, { activate, ...options }: Options) => {
      // Here, because what reads manifests takes longer to load than any other command takes in all.
      const { deployProject, readProject } = await import('../project.ts');
      const client = cli.client();
      const { name, base, bundle } = options;
      const project = await readProject(resolve(cli.cwd, given), { name, base, bundle, inspect: false }, client);
      if (project.leftOut.length > 0) cli.note(`left out: ${project.leftOut.join(', ')}`);
      if (project.outside.length > 0) {
        const elsewhere = project.outside.map((file) => relative(cli.cwd, file));
        cli.note(`from outside of it: ${elsewhere.join(', ')}`);
      }
      if (project.bundledBytes !== null) cli.note(`bundled: ${bytes(project.bundledBytes)} with its source map`);
      const progress = cli.json() ? null : uploadProgress(cli, project.name);
      try {
        const deployed = await deployProject(project, client, { activate, onSent: progress?.onSent });
        progress?.end();
        cli.show(deployed, () => told(deployed));
      } finally {
        progress?.end();
      }
    });
};

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
