/** `hearth init module`: a repository of its own for a module, with the types of the base it runs on. */
import { readFileSync } from 'node:fs';
import { access, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { AddCommand } from '../cli.ts';
import { segment } from '../client.ts';
import { Failure } from '../failure.ts';
import { baseTypesOf, moduleProject, type Tools } from '../module-project.ts';
import { checkedName, nameFromPath } from '../names.ts';

export const init: AddCommand = (program, cli) => {
  program
    .command('init')
    .description('begin a new project')
    .command('module')
    .description('a module for a base: its manifest, a source file, and the types of env.BASE and of what is shared')
    .argument('[dir]', 'where; made when it is not there', '.')
    .requiredOption('--base <name>', 'the base definition it runs on')
    .option('--name <name>', 'of the module (default: from the directory)')
    .action(async (given: string, options: { base: string; name?: string }) => {
      const directory = resolve(cli.cwd, given);
      const name = options.name === undefined ? nameFromPath(directory) : checkedName(options.name);
      const base = checkedName(options.base);
      const types = baseTypesOf(await cli.client().text(`/v1/bases/${segment(base)}/types`));
      const files = moduleProject({ name, base, types, tools: ownTools() });
      await writeNew(directory, files);
      const shared = Object.fromEntries(types.libraries);
      cli.show({ name, base, directory, files: [...files.keys()], shared }, () =>
        [
          `${name}: a module on the base "${base}", in ${directory}`,
          ...[...files.keys()].map((path) => `  ${path}`),
          'Next, there: npm install, npm run check, hearth deploy. When the base has changed: hearth types.',
        ].join('\n'),
      );
    });
};

/** The compiler and Node's types that Hearth itself is checked with. */
function ownTools(): Tools {
  const { devDependencies } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
    devDependencies: Tools;
  };
  return { typescript: devDependencies.typescript, '@types/node': devDependencies['@types/node'] };
}

/** All or nothing, as far as it can be told before: throws Failure with what is there already. */
async function writeNew(directory: string, files: ReadonlyMap<string, string>): Promise<void> {
  const present: string[] = [];
  for (const path of files.keys()) if (await isThere(join(directory, path))) present.push(path);
  if (present.length > 0) {
    throw new Failure(
      `${directory} already has ${present.join(', ')}, and nothing is overwritten.`,
      'Name another directory, or move these away.',
    );
  }
  for (const [path, text] of files) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    // "x": whatever came there meanwhile stays as well.
    await writeFile(join(directory, path), text, { flag: 'wx' });
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw new Failure(`${path} cannot be looked at: ${(error as Error).message}.`, null, error);
  }
}
