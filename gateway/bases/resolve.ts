/** Base definitions with their libraries found: what hosts are started with and what the builder leaves out of modules. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { splitSpecifier } from '../../functions/build/resolve.ts';
import type { BaseDefinition } from '../../pool/keeper/definition.ts';
import { ConfigError } from '../config.ts';
import type { BaseSource, ConfigFile } from '../start/config-file.ts';
import type { BaseGeneration } from '../store/api/bases.ts';
import { type FindLibrary, findLibrary } from './library-paths.ts';
import { declaresBase } from './types.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Resolves each definition. Libraries are looked for from the config file's directory, then among Hearth's own; with
 * the `require` condition, because bases load CommonJS. Throws ConfigError naming the definition and the specifier.
 */
export function resolveBases(file: ConfigFile, env: Environment): BaseDefinition[] {
  return Object.entries(file.bases).map(([name, source]) =>
    resolveGeneration(name, generationOf(name, source, file.directory, 0), file.directory, env),
  );
}

/** What the file says of one base: its first generation. Throws ConfigError when its declarations cannot be read. */
export function generationOf(name: string, source: BaseSource, directory: string, nowMs: number): BaseGeneration {
  return {
    generation: 1,
    shared: source.shared,
    env: source.env,
    warm: source.warm ?? null,
    types: source.types === undefined ? null : readTypes(name, resolve(directory, source.types)),
    setup: source.setup === undefined ? null : { kind: 'path', path: source.setup },
    createdAt: nowMs,
    by: 'file',
  };
}

function readTypes(name: string, path: string): string {
  let types: string;
  try {
    types = readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError(`bases.${name}.types: ${path} cannot be read (${(error as Error).message}).`);
  }
  if (declaresBase(types)) return types;
  throw new ConfigError(`bases.${name}.types: ${path} does not \`export interface Base\`, the type of env.BASE.`);
}

/** `setupPath`: the source the file names; what came over the API is written by base-setup.ts. Throws ConfigError. */
export function resolveGeneration(
  name: string,
  given: BaseGeneration,
  directory: string,
  env: Environment,
  find: FindLibrary = findLibrary,
): BaseDefinition {
  const setupPath = given.setup?.kind === 'path' ? resolve(directory, given.setup.path) : null;
  if (setupPath !== null && !existsSync(setupPath)) {
    throw new ConfigError(`bases.${name}.setup: there is no file ${setupPath}.`);
  }
  return {
    name,
    generation: given.generation,
    shared: oneVersionEach(
      name,
      given.shared.map((entry) => resolveShared(name, entry, directory, find)),
    ),
    setupPath,
    env: Object.fromEntries(
      given.env.flatMap((key) => {
        const value = env[key];
        return value === undefined ? [] : [[key, value]];
      }),
    ),
    ...(given.warm === null ? {} : { warm: given.warm }),
  };
}

type Shared = BaseDefinition['shared'][number];

/** From where libraries are looked for, in turn: the config file's directory, then Hearth itself. */
export function importersOf(directory: string): string[] {
  return [join(directory, 'hearth.config.jsonc'), import.meta.filename];
}

function resolveShared(
  base: string,
  { as, from }: BaseGeneration['shared'][number],
  directory: string,
  find: FindLibrary,
): Shared {
  for (const importer of importersOf(directory)) {
    const path = find(from, importer);
    if (path === undefined) continue;
    const version = packageOf(path).version ?? '0.0.0';
    return { specifier: as, library: splitSpecifier(as).name, version, path, bytes: statSync(path).size };
  }
  throw new ConfigError(
    `bases.${base}.shared: ${JSON.stringify(from)} is installed neither in ${directory} nor with Hearth, or has no CommonJS entry; npm install it there.`,
  );
}

/** A module gets a library whole, so its parts have to be of one version. */
function oneVersionEach(base: string, shared: Shared[]): Shared[] {
  const refuse = (what: string): never => {
    throw new ConfigError(
      `bases.${base}.shared: ${what}; a base shares one of each: give the other a base of its own.`,
    );
  };
  for (const [index, { specifier, library, version }] of shared.entries()) {
    for (const other of shared.slice(0, index)) {
      if (other.specifier === specifier) refuse(`${JSON.stringify(specifier)} stands there twice`);
      if (other.library === library && other.version !== version)
        refuse(`${JSON.stringify(library)} stands there in two versions, ${other.version} and ${version}`);
    }
  }
  return shared;
}

/** The nearest package.json that has a name and a version: inner ones that only say `"type": "commonjs"` are passed by. */
function packageOf(path: string): { name?: string; version?: string } {
  for (let directory = dirname(path); directory !== dirname(directory); directory = dirname(directory)) {
    const manifest = join(directory, 'package.json');
    if (!existsSync(manifest)) continue;
    const content = JSON.parse(readFileSync(manifest, 'utf8')) as { name?: string; version?: string };
    if (content.name !== undefined && content.version !== undefined) return content;
  }
  return {};
}
