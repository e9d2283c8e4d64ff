/** `hearth init`: a new project from a template, or of a module with the types of the base it runs on. */
import { access, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { AddCommand, Cli } from '../cli.ts';
import { segment } from '../client.ts';
import { Failure, UsageError } from '../failure.ts';
import { lineOf } from '../input.ts';
import { baseTypesOf, moduleProject, type Tools } from '../module-project.ts';
import { checkedName, nameFromPath } from '../names.ts';
import { ownVersions, readTemplate, TEMPLATES, type Template } from '../templates.ts';

export const init: AddCommand = (program, cli) => {
  const begin = program
    .command('init')
    .description(`begin a new project: ${TEMPLATES.join(', ')}, or module`)
    .argument('[template]', 'what it begins as; asked for on a terminal, else typescript')
    .argument('[dir]', 'where; made when it is not there', '.')
    .option('--name <name>', 'of the function (default: from the directory)')
    .action(async (given: string | undefined, dir: string, options: { name?: string }) => {
      const template = templateOf(given ?? (await asked(cli)));
      const directory = resolve(cli.cwd, dir);
      const name = options.name === undefined ? nameFromPath(directory) : checkedName(options.name);
      const files = await readTemplate(template, name);
      await writeNew(directory, files);
      cli.show({ name, template, directory, files: [...files.keys()] }, () =>
        [
          `${name}: ${template}, in ${directory}`,
          ...[...files.keys()].map((path) => `  ${path}`),
          'Next, there: npm install, hearth dev, hearth deploy.',
        ].join('\n'),
      );
    });
  begin
    .command('module')
    .description('a module for a base: its manifest, a source file, and the types of env.BASE and of what is shared')
    .argument('[dir]', 'where; made when it is not there', '.')
    .requiredOption('--base <name>', 'the base definition it runs on')
    .option('--name <name>', 'of the module (default: from the directory)')
    .action(async (given: string, own: { base: string }) => {
      // Options of the same name belong to whichever command comes first.
      const options = { ...own, ...begin.opts<{ name?: string }>() } as { base: string; name?: string };
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

function templateOf(given: string): Template {
  const template = TEMPLATES.find((name) => name === given);
  if (template !== undefined) return template;
  throw new UsageError(`There is no template ${JSON.stringify(given)}; there are ${TEMPLATES.join(', ')}, and module.`);
}

async function asked(cli: Cli): Promise<string> {
  if (cli.stdin.isTTY !== true || cli.json()) return 'typescript';
  const answer = await lineOf(`Which template (${TEMPLATES.join(', ')})? [typescript] `, cli);
  return answer.trim() || 'typescript';
}

/** The compiler and Node's types that Hearth itself is checked with. */
function ownTools(): Tools {
  const versions = ownVersions();
  return { typescript: versions.typescript ?? '', '@types/node': versions['@types/node'] ?? '' };
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
