/** Which imports are left to the base: libraries it shares, unless the function brings another version. */
import satisfies from 'semver/functions/satisfies.js';
import validRange from 'semver/ranges/valid.js';
import type { ProvidedSpecifier } from './api.ts';
import { type Resolver, splitSpecifier } from './resolve.ts';

export type Provision =
  /** Not shared by the base. */
  | { from: 'tree' }
  /** `range`: in which package.json wants it; undefined where it does not say. */
  | { from: 'base'; specifier: ProvidedSpecifier; range: string | undefined }
  | { from: 'own copy'; library: string; version: string; baseVersion: string }
  /** Another version is wanted and was not uploaded, or this part of the library is not shared. */
  | { from: 'nowhere'; why: string };

export type Provide = (specifier: string, importer: string) => Provision;

export function createProvide(provided: readonly ProvidedSpecifier[], resolver: Resolver): Provide {
  const bySpecifier = new Map(provided.map((entry) => [entry.specifier, entry]));
  const versions = new Map(provided.map((entry) => [entry.library, entry.version]));

  return (specifier, importer) => {
    const library = splitSpecifier(specifier).name;
    const baseVersion = versions.get(library);
    if (baseVersion === undefined) return { from: 'tree' };
    const copy = resolver.libraryOf(library, importer);
    if (copy !== undefined && copy.version !== baseVersion) {
      return { from: 'own copy', library, version: copy.version ?? 'unknown', baseVersion };
    }
    const shared = bySpecifier.get(specifier);
    if (shared === undefined) {
      if (copy !== undefined) return { from: 'tree' };
      const others = provided.filter((entry) => entry.library === library).map((entry) => `"${entry.specifier}"`);
      const why = `The base shares ${others.join(', ')} and not "${specifier}": add it to the base's "shared" libraries, or upload "${library}" in node_modules.`;
      return { from: 'nowhere', why };
    }
    const range = rangeOf(library, importer, resolver);
    if (copy === undefined && range !== undefined && !isWithin(baseVersion, range)) {
      const why = `package.json wants "${library}" ${range} and the base has ${baseVersion}: upload the wanted version in node_modules, or widen the range.`;
      return { from: 'nowhere', why };
    }
    return { from: 'base', specifier: shared, range };
  };
}

/** Ranges that are none of semver's (tags, URLs, workspaces) say nothing about a version. */
export function isWithin(version: string, range: string): boolean {
  return validRange(range) === null || satisfies(version, range, { includePrerelease: true });
}

function rangeOf(library: string, importer: string, resolver: Resolver): string | undefined {
  const json = resolver.packageOf(importer)?.json;
  for (const field of [json?.dependencies, json?.peerDependencies, json?.devDependencies, json?.optionalDependencies]) {
    if (typeof field !== 'object' || field === null || !Object.hasOwn(field, library)) continue;
    const range: unknown = (field as Record<string, unknown>)[library];
    if (typeof range === 'string') return range;
  }
  return undefined;
}
