/** Which file of a project a function starts from: one rule for the command that bundles it and the builder behind it. */

const SOURCE = /\.(ts|mts|cts|tsx|js|mjs|cjs|jsx)$/;
const DECLARATION = /\.d\.[cm]?ts$/;

const DEFAULT_MAINS = ['', 'src/'].flatMap((directory) =>
  ['index', 'main', 'server', 'app', 'worker'].flatMap((name) =>
    ['ts', 'mts', 'cts', 'tsx', 'js', 'mjs', 'cjs', 'jsx'].map((extension) => `${directory}${name}.${extension}`),
  ),
);

/** Paths relative to the top of the project, with `/` between segments. */
export interface ProjectPaths {
  has(path: string): boolean;
  keys(): Iterable<string>;
}

/** TypeScript or JavaScript, declarations excepted. */
export function isSource(path: string): boolean {
  return SOURCE.test(path) && !DECLARATION.test(path);
}

/** The manifest's `main` as it stands in the tree. */
export function plainPath(path: string): string {
  return path.replace(/^(\.\/)+/, '');
}

/**
 * Where the manifest has no `main`: package.json's `main`, else index.ts, src/index.ts and the like, else the only source
 * file there is; undefined when there is none.
 */
export function defaultMain(paths: ProjectPaths, packageMain: unknown): string | undefined {
  return fromPackage(paths, packageMain) ?? DEFAULT_MAINS.find((path) => paths.has(path)) ?? onlySource(paths);
}

function fromPackage(paths: ProjectPaths, main: unknown): string | undefined {
  if (typeof main !== 'string') return undefined;
  const path = plainPath(main);
  return [path, `${path}.js`, `${path}.ts`, `${path}/index.js`].find(
    (candidate) => paths.has(candidate) && !candidate.endsWith('.json'),
  );
}

function onlySource(paths: ProjectPaths): string | undefined {
  const sources = [...paths.keys()].filter((path) => isSource(path) && !path.includes('node_modules/'));
  return sources.length === 1 ? sources[0] : undefined;
}
