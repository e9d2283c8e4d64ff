/**
 * Finds modules in the uploaded tree as Node does (node_modules, package exports and imports, main), with what
 * TypeScript adds (extensions left out, `.js` written for `.ts`, path aliases). Looks nowhere else.
 */
import { exportTargets, importTargets } from './package-map.ts';
import { directoriesOf, directoryOf, join, readJson, type Tree } from './tree.ts';
import { aliased, type PathAlias } from './tsconfig.ts';

export type ImportStyle = 'import' | 'require';

export type Resolution =
  | { found: 'file'; path: string; sideEffects: boolean }
  /** A specifier to be looked up anew: what a package's `imports` maps to. */
  | { found: 'specifier'; specifier: string }
  /** `why` is a sentence. */
  | { found: 'nothing'; why: string }
  /** Never admitted, whatever is in the tree. */
  | { found: 'forbidden'; why: string };

export interface Package {
  directory: string;
  name: string | undefined;
  version: string | undefined;
  json: Record<string, unknown>;
}

export interface Resolver {
  /** `from` is the importing file. */
  resolve(specifier: string, from: string, style: ImportStyle): Resolution;
  /** The copy of a library that this file would get from the tree. */
  libraryOf(library: string, from: string): Package | undefined;
  /** The package this file belongs to. */
  packageOf(path: string): Package | undefined;
}

const EXTENSIONS = ['.ts', '.tsx', '.mts', '.cts', '.js', '.jsx', '.mjs', '.cjs', '.json'];
// Packages are published as JavaScript; sources that some carry along are not meant to be used.
const PACKAGE_EXTENSIONS = ['.js', '.mjs', '.cjs', '.json', '.jsx', '.ts', '.tsx', '.mts', '.cts'];
const TYPESCRIPT_FOR: Readonly<Record<string, readonly string[]>> = {
  '.js': ['.ts', '.tsx'],
  '.jsx': ['.tsx', '.ts'],
  '.mjs': ['.mts'],
  '.cjs': ['.cts'],
};

/** `@scope/name/sub/path` → `@scope/name` and `./sub/path` (`.` for the package itself). */
export function splitSpecifier(specifier: string): { name: string; subpath: string } {
  const segments = specifier.split('/');
  const count = specifier.startsWith('@') ? 2 : 1;
  const rest = segments.slice(count).join('/');
  return { name: segments.slice(0, count).join('/'), subpath: rest === '' ? '.' : `./${rest}` };
}

export function createResolver(files: Tree, aliases: readonly PathAlias[]): Resolver {
  const directories = new Set(['']);
  for (const path of files.keys()) for (const directory of directoriesOf(path)) directories.add(directory);
  const packages = new Map<string, Package | undefined>();

  function packageAt(directory: string): Package | undefined {
    if (packages.has(directory)) return packages.get(directory);
    const json = readJson(files, directory === '' ? 'package.json' : `${directory}/package.json`);
    const found = json && { directory, name: text(json.name), version: text(json.version), json };
    packages.set(directory, found);
    return found;
  }

  function packageOf(path: string): Package | undefined {
    for (const directory of [...directoriesOf(path), '']) {
      if (directory.endsWith('node_modules')) return undefined;
      const found = packageAt(directory);
      // A package.json that only says {"type": …} marks a directory, not a package; what is asked here stands above it.
      if (found !== undefined && (found.name !== undefined || directory === '')) return found;
    }
    return undefined;
  }

  function libraryDirectory(library: string, from: string): string | undefined {
    for (const directory of [...directoriesOf(from), '']) {
      if (directory === 'node_modules' || directory.endsWith('/node_modules')) continue;
      const candidate = directory === '' ? `node_modules/${library}` : `${directory}/node_modules/${library}`;
      if (directories.has(candidate)) return candidate;
    }
    return undefined;
  }

  function asFile(path: string): string | undefined {
    if (files.has(path)) return path;
    const dot = path.lastIndexOf('.');
    for (const extension of TYPESCRIPT_FOR[path.slice(dot)] ?? []) {
      const candidate = path.slice(0, dot) + extension;
      if (files.has(candidate)) return candidate;
    }
    const extensions = path.includes('node_modules/') ? PACKAGE_EXTENSIONS : EXTENSIONS;
    const extension = extensions.find((candidate) => files.has(path + candidate));
    return extension === undefined ? undefined : path + extension;
  }

  function asDirectory(directory: string): string | undefined {
    if (!directories.has(directory)) return undefined;
    const json = packageAt(directory)?.json;
    for (const field of [json?.main, json?.module]) {
      if (typeof field !== 'string') continue;
      const target = join(directory, field);
      const found =
        target === null ? undefined : (asFile(target) ?? asFile(target === '' ? 'index' : `${target}/index`));
      if (found !== undefined) return found;
    }
    return asFile(directory === '' ? 'index' : `${directory}/index`);
  }

  function file(path: string): Resolution {
    const owner = packageOf(path);
    const flag = owner?.json.sideEffects;
    if (owner === undefined || (flag !== false && !Array.isArray(flag)))
      return { found: 'file', path, sideEffects: true };
    const inPackage = owner.directory === '' ? path : path.slice(owner.directory.length + 1);
    const sideEffects =
      Array.isArray(flag) && flag.some((glob) => typeof glob === 'string' && matchesSideEffect(inPackage, glob));
    return { found: 'file', path, sideEffects };
  }

  function fileOrDirectory(path: string, mustBeDirectory: boolean): Resolution | undefined {
    const found = (mustBeDirectory ? undefined : asFile(path)) ?? asDirectory(path);
    return found === undefined ? undefined : file(found);
  }

  function inPackage(owner: Package, name: string, subpath: string, style: ImportStyle): Resolution {
    const { json, directory } = owner;
    if (json.exports === undefined || json.exports === null) {
      const target = subpath === '.' ? directory : join(directory, subpath);
      const found = target === null ? undefined : fileOrDirectory(target, subpath === '.' || subpath.endsWith('/'));
      if (found !== undefined) return found;
      const wanted = subpath === '.' ? 'its main file' : `"${subpath.slice(2)}"`;
      return { found: 'nothing', why: `The package "${name}" is in the deploy without ${wanted}.` };
    }
    const targets = exportTargets(json.exports, subpath, conditionsFor(style));
    for (const target of targets) {
      const path = join(directory, target);
      // Exports name files exactly: no extension is tried, and nothing outside the package is reached.
      if (path?.startsWith(directory === '' ? '' : `${directory}/`) && files.has(path)) return file(path);
    }
    const why =
      targets.length === 0
        ? `The package "${name}" does not export "${subpath}".`
        : `The package "${name}" is in the deploy without ${targets.join(', ')}.`;
    return { found: 'nothing', why };
  }

  function internal(specifier: string, from: string, style: ImportStyle): Resolution {
    const owner = packageOf(from);
    const targets = importTargets(owner?.json.imports, specifier, conditionsFor(style));
    for (const target of targets) {
      if (target.startsWith('#')) break;
      if (!target.startsWith('./')) return { found: 'specifier', specifier: target };
      const path = join(owner?.directory ?? '', target);
      const found = path === null ? undefined : asFile(path);
      if (found !== undefined) return file(found);
    }
    return { found: 'nothing', why: `"${specifier}" is not in "imports" of the package.json above ${from}.` };
  }

  function resolve(specifier: string, from: string, style: ImportStyle): Resolution {
    const forbidden = forbiddenForm(specifier);
    if (forbidden !== null) return { found: 'forbidden', why: forbidden };

    if (/^\.\.?(\/|$)/.test(specifier)) {
      const path = join(directoryOf(from), specifier);
      if (path === null) return { found: 'forbidden', why: `"${specifier}" leads out of the deployed files.` };
      const found = fileOrDirectory(path, /(^|\/)\.{0,2}$/.test(specifier));
      return found ?? { found: 'nothing', why: `"${specifier}" is not among the deployed files.` };
    }
    for (const candidate of from.includes('node_modules/') ? [] : aliased(aliases, specifier)) {
      const found = fileOrDirectory(candidate, false);
      if (found !== undefined) return found;
    }
    if (specifier.startsWith('#')) return internal(specifier, from, style);

    const { name, subpath } = splitSpecifier(specifier);
    const self = packageOf(from);
    if (self !== undefined && self.name === name && self.json.exports !== undefined)
      return inPackage(self, name, subpath, style);
    const directory = libraryDirectory(name, from);
    if (directory === undefined) {
      // `module: "esnext"` with `baseUrl` alone, and modules that are one file in node_modules.
      const single = [...directoriesOf(from), ''].map((above) =>
        asFile(above === '' ? `node_modules/${name}` : `${above}/node_modules/${name}`),
      );
      const path = subpath === '.' ? single.find((candidate) => candidate !== undefined) : undefined;
      return path === undefined ? { found: 'nothing', why: missingPackage(name) } : file(path);
    }
    return inPackage(packageAt(directory) ?? { directory, name, version: undefined, json: {} }, name, subpath, style);
  }

  return {
    resolve,
    packageOf,
    libraryOf(library, from) {
      const directory = libraryDirectory(library, from);
      return directory === undefined
        ? undefined
        : (packageAt(directory) ?? { directory, name: library, version: undefined, json: {} });
    },
  };
}

function missingPackage(name: string): string {
  return `The package "${name}" is neither among the deployed files nor shared by the base: upload it in node_modules, or add it to the base's "shared" libraries.`;
}

/** A sentence for specifiers that no resolver of ours ever follows. */
function forbiddenForm(specifier: string): string | null {
  if (specifier === '') return 'An import names nothing.';
  if (
    specifier.startsWith('/') ||
    specifier.includes('\\') ||
    (/^[A-Za-z]:/.test(specifier) && !/^[a-z]{2,}:/i.test(specifier))
  ) {
    return `"${specifier}" is not a path inside the deployed files; only relative paths and packages can be imported.`;
  }
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(specifier)?.[1];
  if (scheme === undefined) return null;
  if (scheme === 'cloudflare')
    return `"${specifier}" is part of Workers that Hearth does not do; "cloudflare:workers" is there.`;
  if (scheme === 'node') return `"${specifier}" is not a built-in module of Node.`;
  return `"${specifier}" cannot be imported: ${scheme}: URLs are not followed by the build.`;
}

function conditionsFor(style: ImportStyle): (condition: string) => boolean {
  return (condition) => condition === 'node' || condition === 'module-sync' || condition === style;
}

/**
 * As bundlers read `sideEffects`: a pattern without a slash matches in every directory. `*` is taken to match slashes
 * too, and any other pattern language to match everything: then too much is kept, which is never wrong. A matcher for
 * the whole language can be made to run for ever, and patterns are the uploader's.
 */
function matchesSideEffect(path: string, glob: string): boolean {
  const pattern = glob.replace(/^\.?\//, '');
  if (/[?[\]{}()!+@]/.test(pattern)) return true;
  const subject = pattern.includes('/') ? path : path.slice(path.lastIndexOf('/') + 1);
  const [head = '', ...rest] = pattern.split('*');
  const tail = rest.pop();
  if (tail === undefined) return subject === pattern;
  if (!subject.startsWith(head) || !subject.endsWith(tail)) return false;
  let at = head.length;
  for (const part of rest) {
    const found = subject.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return at + tail.length <= subject.length;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
