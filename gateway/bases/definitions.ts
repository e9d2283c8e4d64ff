/**
 * The base definitions there are: those of the configuration file, and in their place what the API has made of them
 * since, which the store keeps.
 */
import { resolve as resolvePath } from 'node:path';
import type { BaseDefinition } from '../../pool/keeper/definition.ts';
import type { ConfigFile } from '../start/config-file.ts';
import type { BaseGeneration, BaseRecord, BaseStore } from '../store/api/bases.ts';
import type { Logger } from '../telemetry/log.ts';
import { declarationsOf, type SetupSource } from './declarations.ts';
import { findAnew } from './library-paths.ts';
import { generationOf, importersOf, resolveGeneration } from './resolve.ts';
import { type PreparedBase, prepareBase } from './setup.ts';

export interface BaseDefinitionsOptions {
  file: ConfigFile;
  /** The gateway's own environment. */
  env: Readonly<Record<string, string | undefined>>;
  store: BaseStore;
  /** For bundled setups; made when it is missing. */
  directory: string;
  /** Epoch ms. */
  now(): number;
  log: Pick<Logger, 'info' | 'warn'>;
}

export interface KeptBase {
  record: BaseRecord;
  /** With its libraries found, as bases in use are made of it. */
  prepared: PreparedBase;
}

export interface BaseDefinitions {
  /** In use now, by name: what functions are built against. */
  readonly inUse: ReadonlyMap<string, BaseDefinition>;
  get(name: string): KeptBase | undefined;
  list(): Iterable<KeptBase>;
  /**
   * Finds the libraries of a generation and bundles its setup. `code`: of a setup that came over the API and is not
   * stored yet. Throws ConfigError.
   */
  prepare(name: string, given: BaseGeneration, code: Uint8Array | null): Promise<PreparedBase>;
  /** Only finds the libraries. Throws ConfigError. */
  resolve(name: string, given: BaseGeneration): Promise<BaseDefinition>;
  /** What the compiler says of a setup; null: nothing. */
  declare(setup: SetupSource, shared: BaseGeneration['shared']): Promise<string | null>;
  /** Declarations of `Base`, the type of `env.BASE`: as they were given, else as the compiler made them; null: neither. */
  typesOf(base: KeptBase): Promise<string | null>;
  /** From now on this is the definition of its name; undefined: there is none. Does not store it. */
  set(name: string, kept: KeptBase | undefined): void;
  /** The path that the configuration file names as the setup of this base; undefined: none. */
  pathOf(name: string): string | undefined;
}

/** Throws ConfigError with the definition and what is wrong with it. */
export async function loadBaseDefinitions(options: BaseDefinitionsOptions): Promise<BaseDefinitions> {
  const { file, env, store, directory, now, log } = options;
  const kept = new Map<string, KeptBase>();
  const inUse = new Map<string, BaseDefinition>();

  /** As they are installed now, which may have changed since the start. */
  async function resolve(name: string, given: BaseGeneration): Promise<BaseDefinition> {
    const specifiers = given.shared.map(({ from }) => from);
    const find = await findAnew(specifiers, importersOf(file.directory));
    return resolveGeneration(name, given, file.directory, env, find);
  }

  async function prepare(
    name: string,
    given: BaseGeneration,
    code: Uint8Array | null,
    resolved: BaseDefinition,
  ): Promise<PreparedBase> {
    if (given.setup?.kind !== 'code') return prepareBase(resolved, null, directory);
    const bundle = code ?? (await store.getSetup(name, given.setup.id));
    if (bundle === null) throw new Error(`The store has lost the setup of the base "${name}".`);
    return prepareBase(resolved, bundle, directory);
  }

  function set(name: string, base: KeptBase | undefined): void {
    if (base === undefined) {
      kept.delete(name);
      inUse.delete(name);
      return;
    }
    kept.set(name, base);
    inUse.set(name, base.prepared.definition);
  }

  const declare: BaseDefinitions['declare'] = (setup, shared) =>
    declarationsOf(setup, { directory: file.directory, shared });
  /** Of setups on this machine, made when somebody asks. */
  const declared = new WeakMap<PreparedBase, Promise<string | null>>();

  const records = new Map<string, BaseRecord>();
  for (const [name, source] of Object.entries(file.bases)) {
    const current = generationOf(name, source, file.directory, now());
    records.set(name, { name, current, previous: null, updatedAt: current.createdAt });
  }
  for (const record of await store.list()) {
    if (records.has(record.name)) {
      log.info('this base is as the API last left it, not as the configuration file says', {
        base: record.name,
        generation: record.current.generation,
      });
    }
    records.set(record.name, record);
  }
  const all = await Promise.all(
    [...records.values()].map(async (record) => ({
      record,
      prepared: await prepare(
        record.name,
        record.current,
        null,
        resolveGeneration(record.name, record.current, file.directory, env),
      ),
    })),
  );
  for (const base of all) set(base.record.name, base);

  return {
    inUse,
    get: (name) => kept.get(name),
    list: () => [...kept.values()].sort((a, b) => (a.record.name < b.record.name ? -1 : 1)),
    prepare: async (name, given, code) => prepare(name, given, code, await resolve(name, given)),
    resolve,
    declare,
    async typesOf({ record: { current }, prepared }) {
      if (current.types !== null || current.setup === null) return current.types;
      if (current.setup.kind === 'code') return current.setup.declared;
      const path = resolvePath(file.directory, current.setup.path);
      return await declared.getOrInsertComputed(prepared, () => declare({ kind: 'path', path }, current.shared));
    },
    set,
    pathOf: (name) => file.bases[name]?.setup,
  };
}
