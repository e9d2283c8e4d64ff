/** What a tree's tsconfig.json says about the build. esbuild gets it as text and never looks for the file itself. */
import { parse } from 'jsonc-parser';
import { directoryOf, join, type Tree } from './tree.ts';

/** Options that change what esbuild makes of TypeScript and JSX; all others concern type checks or tsc's own output. */
const KEPT_OPTIONS = [
  'alwaysStrict',
  'experimentalDecorators',
  'jsx',
  'jsxFactory',
  'jsxFragmentFactory',
  'jsxImportSource',
  'strict',
  'useDefineForClassFields',
  'verbatimModuleSyntax',
] as const;

const MAX_EXTENDS = 5;

export interface TsconfigRaw {
  compilerOptions: Record<string, string | boolean>;
}

export interface PathAlias {
  prefix: string;
  suffix: string;
  exact: boolean;
  /** Paths in the tree; `*` stands for what matched. */
  targets: string[];
}

export interface Tsconfig {
  raw: TsconfigRaw;
  /** The longest prefix first. */
  aliases: PathAlias[];
}

/** The tsconfig.json nearest to `main`, looking upward; what it extends counts when it is in the tree by a relative path. */
export function readTsconfig(files: Tree, main: string): Tsconfig {
  for (let directory = directoryOf(main); ; directory = directoryOf(directory)) {
    const path = join(directory, 'tsconfig.json');
    if (path !== null && files.has(path)) return read(files, path, 0);
    if (directory === '') return { raw: { compilerOptions: {} }, aliases: [] };
  }
}

function read(files: Tree, path: string, depth: number): Tsconfig {
  const bytes = files.get(path);
  const config: unknown =
    bytes === undefined ? undefined : parse(Buffer.from(bytes).toString(), [], { allowTrailingComma: true });
  const inherited =
    isRecord(config) && typeof config.extends === 'string' ? join(directoryOf(path), config.extends) : null;
  const parent: Tsconfig =
    inherited !== null && depth < MAX_EXTENDS
      ? read(files, files.has(inherited) ? inherited : `${inherited}.json`, depth + 1)
      : { raw: { compilerOptions: {} }, aliases: [] };
  if (!isRecord(config) || !isRecord(config.compilerOptions)) return parent;

  const given = config.compilerOptions;
  const compilerOptions = { ...parent.raw.compilerOptions };
  for (const key of KEPT_OPTIONS) {
    const value = given[key];
    if (typeof value === 'string' || typeof value === 'boolean') compilerOptions[key] = value;
  }
  const base = join(directoryOf(path), typeof given.baseUrl === 'string' ? given.baseUrl : '.');
  const aliases = isRecord(given.paths) && base !== null ? toAliases(given.paths, base) : parent.aliases;
  return { raw: { compilerOptions }, aliases };
}

function toAliases(paths: Record<string, unknown>, base: string): PathAlias[] {
  return Object.entries(paths)
    .map(([pattern, targets]): PathAlias => {
      const [prefix = '', suffix = ''] = pattern.split('*', 2);
      const inTree = (Array.isArray(targets) ? targets : [])
        .filter((target): target is string => typeof target === 'string')
        .map((target) => join(base, target))
        .filter((target) => target !== null);
      return { prefix, suffix, exact: !pattern.includes('*'), targets: inTree };
    })
    .sort((a, b) => b.prefix.length - a.prefix.length);
}

/** Where an aliased specifier may stand; empty when no alias matches. */
export function aliased(aliases: readonly PathAlias[], specifier: string): string[] {
  for (const { prefix, suffix, exact, targets } of aliases) {
    if (exact) {
      if (specifier === prefix) return targets;
    } else if (
      specifier.length >= prefix.length + suffix.length &&
      specifier.startsWith(prefix) &&
      specifier.endsWith(suffix)
    ) {
      const matched = specifier.slice(prefix.length, specifier.length - suffix.length);
      return targets.flatMap(
        (target) =>
          join(
            '',
            target.replace('*', () => matched),
          ) ?? [],
      );
    }
  }
  return [];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
