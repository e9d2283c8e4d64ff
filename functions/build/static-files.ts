/** Which files of a tree a function may want to read while it runs. */

import { MANIFEST_FILES } from '../contract/manifest-file.ts';
import type { Resolver } from './resolve.ts';
import type { Tree } from './tree.ts';

/** TypeScript that is not in the bundle is of no use to a browser or to Node; JavaScript may be served to browsers. */
const NEVER = /\.([cm]?tsx?|map|tsbuildinfo)$/;
const TOOLING = new Set([
  ...MANIFEST_FILES,
  'package.json',
  'package-lock.json',
  'npm-shrinkwrap.json',
  'yarn.lock',
  'pnpm-lock.yaml',
  'bun.lock',
  'tsconfig.json',
]);
const TOOLING_DIRECTORY = /(^|\/)(\.git|\.hg|\.wrangler|\.hearth)\//;

/** At the top of a tree only: a README must not cost each function a directory of files. */
const TOP_NOISE =
  /^(README|LICEN[CS]E|NOTICE|CHANGELOG|CONTRIBUTING|SECURITY|CODE_OF_CONDUCT|Dockerfile|Makefile)(\.[a-z]+)?$|^\.(git(ignore|attributes)|editorconfig|npmrc|nvmrc|dockerignore|prettier[^/]*|eslint[^/]*)$/i;

/** What packages carry for those who work on them. Paths inside the package. */
const PACKAGE_NOISE =
  /^(\.|__tests__\/|bench(marks?)?\/|coverage\/|docs?\/|examples?\/|specs?\/|tests?\/)|\.(md|markdown|sh)$|(^|\/)(LICEN[CS]E|CHANGELOG|CNAME)[^/]*$|(^|\/)(tsconfig\.json|[^/]*\.config\.[cm]?js|\.[^/]*)$/i;

/**
 * The files that go beside the code, sorted. Of node_modules only those of packages that ask for their own place
 * (`__dirname`, `import.meta.url`): others cannot find their files in a bundle anyway, and trees of packages are large.
 */
export function leftOverFiles(
  files: Tree,
  bundled: ReadonlySet<string>,
  placed: ReadonlySet<string>,
  resolver: Resolver,
): string[] {
  const reading = new Set<string>();
  for (const path of placed) {
    const owner = bundled.has(path) ? resolver.packageOf(path) : undefined;
    if (owner !== undefined) reading.add(owner.directory);
  }
  const left: string[] = [];
  for (const path of files.keys()) {
    if (
      bundled.has(path) ||
      NEVER.test(path) ||
      TOOLING.has(path) ||
      TOP_NOISE.test(path) ||
      TOOLING_DIRECTORY.test(path)
    )
      continue;
    if (path.includes('node_modules/')) {
      const owner = reading.size === 0 ? undefined : resolver.packageOf(path);
      if (owner === undefined || !reading.has(owner.directory)) continue;
      if (PACKAGE_NOISE.test(path.slice(owner.directory.length + 1))) continue;
    }
    left.push(path);
  }
  return left.sort();
}
