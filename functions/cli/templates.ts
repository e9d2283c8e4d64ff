/** The projects that `hearth init` begins: real files in templates/, with a name and versions to be put in. */
import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export const TEMPLATES = ['typescript', 'hono', 'cron', 'queue', 'express'] as const;
export type Template = (typeof TEMPLATES)[number];

const DIRECTORY = fileURLToPath(new URL('./templates', import.meta.url));
/** Stands in the files where the function's name goes. */
const NAME = /hearth-template/g;

/** Path → text. */
export async function readTemplate(template: Template, name: string): Promise<Map<string, string>> {
  const directory = join(DIRECTORY, template);
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
    .sort();
  const files = new Map<string, string>();
  for (const path of paths) {
    const text = (await readFile(join(directory, path), 'utf8')).replace(NAME, name);
    const inProject = path.replaceAll(sep, '/');
    // npm leaves a .gitignore out of a package.
    if (inProject === 'gitignore') files.set('.gitignore', text);
    else files.set(inProject, inProject === 'package.json' ? withVersions(text) : text);
  }
  return files;
}

/** `"*"` becomes the version that Hearth itself is built and tested with. */
function withVersions(packageJson: string): string {
  const versions = ownVersions();
  return packageJson.replace(/"([^"]+)": "\*"/g, (entry, library: string) => {
    const version = versions[library];
    return version === undefined ? entry : `"${library}": "${version}"`;
  });
}

/** Of all that Hearth's package.json names. */
export function ownVersions(): Readonly<Record<string, string>> {
  const { dependencies, devDependencies } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  ) as Record<'dependencies' | 'devDependencies', Record<string, string>>;
  return { ...devDependencies, ...dependencies };
}
