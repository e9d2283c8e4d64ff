/** Whether everything that serves on a base comes up on its next generation, found out before anything moves. */
import { isWithin } from '../functions/build/provided.ts';
import { HearthError, type SourceError } from '../functions/contract/errors.ts';
import type { BaseGenerations, ModuleSpec } from '../pool/keeper/api.ts';
import type { BaseDefinition } from '../pool/keeper/definition.ts';
import type { Registry, VersionEntry } from './registry/registry.ts';
import type { VersionRecord } from './store/store.ts';

/** More are not looked for once so many did not come up. */
const MOST_REFUSED = 10;

export interface TrialParts {
  bases: Pick<BaseGenerations, 'prove'>;
  registry: Pick<Registry, 'functions'>;
  /** Policy of the hosts in stock. */
  network: 'all' | 'none';
}

export interface Trial {
  /** What is in use now; undefined: the name is new. */
  before: BaseDefinition | undefined;
  next: BaseDefinition;
  /** Called after each version. */
  progress(proved: number, of: number): void;
}

/**
 * Resolves with versions that come up on neither: they are no reason to keep the old one.
 * @throws HearthError PROBE_FAILED that names the modules and why, or that bases do not come up at all; NO_CAPACITY when
 * no base came free for it.
 */
export async function proveAll(parts: TrialParts, trial: Trial): Promise<VersionEntry[]> {
  const { before, next, progress } = trial;
  await proveEmpty(parts, next);
  const proved = new Set<string>();
  const broken: VersionEntry[] = [];
  const refused: SourceError[] = [];
  // Again, since functions are deployed meanwhile.
  for (;;) {
    const serving = servingOn(parts.registry, next.name);
    const left = serving.filter(({ key }) => !proved.has(key));
    if (left.length === 0) break;
    for (const version of left) {
      proved.add(version.key);
      const why = await refusal(parts, trial, version);
      if (why !== null && before !== undefined && !(await comesUp(parts, before, version))) broken.push(version);
      else if (why !== null) refused.push({ path: version.functionName, message: why });
      progress(proved.size, serving.length);
      if (refused.length >= MOST_REFUSED) break;
    }
    if (refused.length > 0) throw didNotComeUp(next.name, refused);
  }
  return broken;
}

/** Every version that takes traffic and runs on this base. */
export function servingOn(registry: Pick<Registry, 'functions'>, base: string): VersionEntry[] {
  const found: VersionEntry[] = [];
  for (const entry of registry.functions()) {
    for (const version of entry.serving) if (version.claims.base === base) found.push(version);
  }
  return found;
}

/** The setup runs at the first load, so a module that does nothing shows whether it does. */
async function proveEmpty({ bases, network }: TrialParts, next: BaseDefinition): Promise<void> {
  try {
    await bases.prove(next, emptyModule(next.name, network), null);
  } catch (error) {
    if (!(error instanceof HearthError)) throw error;
    if (error.code === 'NO_CAPACITY' && !/do not come up/.test(error.message)) throw error;
    throw new HearthError('PROBE_FAILED', `The base "${next.name}" stays as it is. ${error.message}`, {
      cause: error,
      functionStack: error.functionStack,
    });
  }
}

/** Null: it comes up. Throws NO_CAPACITY when there is no base for it. */
async function refusal(parts: TrialParts, { before, next }: Trial, version: VersionEntry): Promise<string | null> {
  const { spec, manifest, record } = version;
  try {
    const image = await spec.image();
    const missing = missingIn(next, before, record, image.code);
    if (missing !== null) return missing;
    await parts.bases.prove(next, spec, manifest.hearth.ready);
    return null;
  } catch (error) {
    if (!(error instanceof HearthError)) throw error;
    if (error.code === 'NO_CAPACITY' && !/could not be read/.test(error.message)) throw error;
    return error.message;
  }
}

async function comesUp(parts: TrialParts, before: BaseDefinition, { spec, manifest }: VersionEntry): Promise<boolean> {
  try {
    await parts.bases.prove(before, spec, manifest.hearth.ready);
    return true;
  } catch (error) {
    if (error instanceof HearthError) return false;
    throw error;
  }
}

/** What this version leaves to its base and would not find there, also where it asks for it only later; null: nothing. */
export function missingIn(
  next: BaseDefinition,
  before: BaseDefinition | undefined,
  { provided, wants }: Pick<VersionRecord, 'provided' | 'wants'>,
  code: Uint8Array,
): string | null {
  for (const { library } of provided) {
    const shared = next.shared.find((entry) => entry.library === library);
    if (shared === undefined) return `It leaves "${library}" to its base, which would not share it any more.`;
    const range = wants?.find((wanted) => wanted.library === library)?.range;
    if (range !== undefined && !isWithin(shared.version, range)) {
      return `Its package.json wants "${library}" ${range}, and the base would have ${shared.version}.`;
    }
  }
  const text = Buffer.from(code.buffer, code.byteOffset, code.byteLength);
  const specifiers = new Set(next.shared.map(({ specifier }) => specifier));
  for (const { specifier } of before?.shared ?? []) {
    // As the builder writes it, in both forms of its output.
    const asked = `(${JSON.stringify(specifier)})`;
    if (specifiers.has(specifier) || !(text.includes(`require${asked}`) || text.includes(`require")]${asked}`)))
      continue;
    return `It leaves "${specifier}" to its base, which would not share it any more.`;
  }
  return null;
}

function didNotComeUp(base: string, refused: SourceError[]): HearthError {
  const [first] = refused;
  const more = refused.length > 1 ? ` (and ${refused.length - 1} more, see errors)` : '';
  return new HearthError(
    'PROBE_FAILED',
    `The base "${base}" stays as it is: ${first?.path} does not come up on the new one. ${first?.message}${more}`,
    { errors: refused },
  );
}

const EMPTY = Buffer.from('exports.default = { fetch() { return new Response(null); } };');

function emptyModule(base: string, network: 'all' | 'none'): ModuleSpec {
  const image = { format: 'cjs' as const, code: EMPTY, codeCache: null, files: [] };
  return {
    key: `base-${base}@empty`,
    functionName: `base-${base}`,
    version: 'empty',
    base,
    trustGroup: 'default',
    network,
    group: null,
    pool: 'default',
    limits: {
      timeoutMs: 30_000,
      memoryMb: 256,
      cpuMs: 0,
      concurrency: 1,
      minInstances: 0,
      maxInstances: 1,
      reserved: 0,
      keepAlive: 'auto',
    },
    image: () => image,
    vars: {},
    jsonVars: {},
    bindings: [],
  };
}
