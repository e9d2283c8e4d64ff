/** `hearth types`: the declarations of the base, as they are now, in the project of one of its modules. */
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { AddCommand } from '../cli.ts';
import { segment } from '../client.ts';
import { Failure } from '../failure.ts';
import { baseTypesOf, isMade, TYPES_PATH, withLibraries } from '../module-project.ts';

export const types: AddCommand = (program, cli) => {
  program
    .command('types')
    .description('fetch the types of the base again, in the directory of a module made by "hearth init module"')
    .argument('[dir]', 'where its hearth.jsonc stands', '.')
    .action(async (given: string) => {
      const directory = resolve(cli.cwd, given);
      const manifest = await textIn(directory, 'hearth.jsonc');
      const before = await textIn(directory, TYPES_PATH);
      const packageJson = await textIn(directory, 'package.json');
      if (!isMade(before)) {
        throw new Failure(`${join(directory, TYPES_PATH)} was not made by Hearth, so it is left alone.`);
      }
      const { parseManifest } = await import('../../contract/manifest-file.ts');
      const { base } = parseManifest(manifest, 'hearth.jsonc').hearth;
      const told = baseTypesOf(await cli.client().text(`/v1/bases/${segment(base)}/types`));
      const { text, changed } = refreshed(packageJson, told.libraries, directory);
      const written = told.text !== before;
      if (written) await writeFile(join(directory, TYPES_PATH), told.text);
      if (changed.size > 0) await writeFile(join(directory, 'package.json'), text);
      cli.show({ base, changed: written, libraries: Object.fromEntries(changed) }, () =>
        [
          `${TYPES_PATH}: ${written ? `now that of the base "${base}"` : `is that of the base "${base}" already`}`,
          ...[...changed].map(([library, version]) => `package.json: ${library} ${version}; run npm install`),
        ].join('\n'),
      );
    });
};

async function textIn(directory: string, path: string): Promise<string> {
  try {
    return await readFile(join(directory, path), 'utf8');
  } catch (error) {
    throw new Failure(
      `${join(directory, path)} cannot be read: ${(error as Error).message}.`,
      'Name the directory of a module; "hearth init module" makes one.',
      error,
    );
  }
}

function refreshed(packageJson: string, libraries: ReadonlyMap<string, string>, directory: string) {
  try {
    return withLibraries(packageJson, libraries);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new Failure(`${join(directory, 'package.json')} is not JSON: ${error.message}.`);
  }
}
