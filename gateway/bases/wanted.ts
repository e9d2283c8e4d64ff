/** From what an operator asks of a base to its next generation: what is not given stays, a setup is bundled. */
import { createHash } from 'node:crypto';
import type { Builder } from '../../functions/build/client.ts';
import type { Tree } from '../../functions/build/tree.ts';
import { HearthError } from '../../functions/contract/errors.ts';
import { parseManifestValue } from '../../functions/contract/manifest-file.ts';
import type { BaseGeneration } from '../store/api/bases.ts';
import type { BaseDefinitions, KeptBase } from './definitions.ts';

/** What is to be another; what is absent stays as it is. */
export interface BaseInput {
  shared?: { as: string; from: string }[] | undefined;
  /** Null: none. `path`: only the one that the configuration file names. */
  setup?: { kind: 'source'; files: Tree; main: string } | { kind: 'path'; path: string } | null | undefined;
  env?: string[] | undefined;
  /** Null: as many as HEARTH_WARM_BASES says. */
  warm?: number | null | undefined;
  types?: string | null | undefined;
}

export interface Wanted {
  given: BaseGeneration;
  /** Bundle of a setup that is not stored yet. */
  code: Uint8Array | null;
}

export interface WantedParts {
  definitions: BaseDefinitions;
  builder: Pick<Builder, 'build'>;
}

/** Number, time (epoch ms) and author of the generation that is asked for. */
export type Origin = Pick<BaseGeneration, 'generation' | 'createdAt' | 'by'>;

/** Throws BAD_REQUEST and BUILD_FAILED. */
export async function wantedOf(
  { definitions, builder }: WantedParts,
  name: string,
  before: KeptBase | undefined,
  input: BaseInput,
  { generation, createdAt, by }: Origin,
): Promise<Wanted> {
  const old = before?.record.current;
  const given: BaseGeneration = {
    generation,
    shared: input.shared ?? old?.shared ?? [],
    env: input.env ?? old?.env ?? [],
    warm: input.warm === undefined ? (old?.warm ?? null) : input.warm,
    types: input.types === undefined ? (old?.types ?? null) : input.types,
    setup: old?.setup ?? null,
    createdAt,
    by,
  };
  const { setup } = input;
  if (setup === undefined) return { given, code: null };
  if (setup === null) return { given: { ...given, setup: null }, code: null };
  if (setup.kind === 'path') {
    const named = definitions.pathOf(name);
    if (setup.path === named) return { given: { ...given, setup }, code: null };
    const allowed = named === undefined ? 'names none for this base' : `names ${JSON.stringify(named)}`;
    throw new HearthError('BAD_REQUEST', `setup.path: only the configuration file names paths, and it ${allowed}.`);
  }
  const code = await bundle({ definitions, builder }, name, given, setup);
  const id = createHash('sha256').update(code).digest('hex');
  const declared = await definitions.declare(setup, given.shared);
  return { given: { ...given, setup: { kind: 'code', id, files: [...setup.files.keys()], declared } }, code };
}

/** As a function is: from the uploaded files alone, in the builder's process. */
async function bundle(
  { definitions, builder }: WantedParts,
  name: string,
  given: BaseGeneration,
  { files, main }: { files: Tree; main: string },
): Promise<Uint8Array> {
  const manifest = parseManifestValue({ main });
  const { shared } = await definitions.resolve(name, { ...given, setup: null });
  const built = await builder.build({ manifest, files, provided: shared });
  if (built.format === 'cjs') return built.code;
  throw new HearthError(
    'BUILD_FAILED',
    'A setup cannot await at its top level; export an async function as default, and await in it.',
  );
}
