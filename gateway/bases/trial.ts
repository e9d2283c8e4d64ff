/** Whether everything that may serve on a base comes up on its next generation, found out before anything moves. */
import { isWithin } from '../../functions/build/provided.ts';
import { HearthError, type SourceError } from '../../functions/contract/errors.ts';
import type { BaseGenerations, ModuleSpec } from '../../pool/keeper/api.ts';
import type { BaseDefinition } from '../../pool/keeper/definition.ts';
import type { MayServe } from '../registry/may-serve.ts';
import type { Registry, VersionEntry } from '../registry/registry.ts';
import type { VersionRecord } from '../store/api/registry.ts';

/** More are not looked for once so many did not come up. */
const MOST_REFUSED = 10;
/** What NO_CAPACITY says when it is not for want of room. */
const NO_BASES = /do not come up/;

export interface TrialParts {
  bases: Pick<BaseGenerations, 'prove'>;
  registry: Pick<Registry, 'function' | 'functions' | 'mayServe' | 'publicationsOf'>;
  /** Policy of the hosts in stock. */
  network: 'all' | 'none';
}

export interface TrialOptions {
  /** What is in use now; undefined: the name is new. */
  before: BaseDefinition | undefined;
  next: BaseDefinition;
  /** Called after each version. */
  progress(proved: number, of: number): void;
  /** It comes up on the next generation. */
  proved(version: VersionEntry): void;
}

export interface Trial {
  /**
   * Proves what has not been proved yet. To be called again after anything that takes time, until nothing is `untried`:
   * functions are deployed and traffic is moved meanwhile.
   * @throws HearthError PROBE_FAILED that names the modules and why, or that bases do not come up at all; NO_CAPACITY when
   * no base came free for it.
   */
  run(): Promise<void>;
  /** What may serve and was not tried. */
  readonly untried: VersionEntry[];
  /** Those that come up neither on the old generation nor on the new one: no reason to keep the old one. */
  readonly broken: readonly VersionEntry[];
  /** Whether the move is given up when what runs under this key does not load. */
  requires(spec: Pick<ModuleSpec, 'functionName' | 'key'>): boolean;
}

export function createTrial(parts: TrialParts, { before, next, progress, proved }: TrialOptions): Trial {
  /** By key. */
  const tried = new Set<string>();
  const broken: VersionEntry[] = [];
  let empty = false;
  const open = () => mayServeOn(parts, next.name).filter(({ version }) => !tried.has(version.key));

  async function tryOne(one: MayServe): Promise<SourceError | null> {
    const { version } = one;
    tried.add(version.key);
    const why = await refusal(parts, next, version);
    if (why === null) proved(version);
    else if (before !== undefined && !(await comesUp(parts, before, version))) broken.push(version);
    else return { path: version.functionName, message: `${named(parts, one)}${why}` };
    return null;
  }

  return {
    broken,
    get untried() {
      return open().map(({ version }) => version);
    },
    async run() {
      if (!empty) await proveEmpty(parts, next);
      empty = true;
      const refused: SourceError[] = [];
      for (let left = open(); left.length > 0; left = open()) {
        for (const one of left) {
          const error = await tryOne(one);
          if (error !== null) refused.push(error);
          progress(tried.size, mayServeOn(parts, next.name).length);
          if (refused.length >= MOST_REFUSED) break;
        }
        if (refused.length > 0) throw didNotComeUp(next.name, refused);
      }
    },
    requires({ functionName, key }) {
      const serves = parts.registry.mayServe(functionName).map(({ version }) => version.key);
      // What a publication splits off runs the same version, under a key that continues the version's.
      const whole = serves.find((each) => key === each || key.startsWith(`${each}/`));
      return whole !== undefined && !broken.some((version) => version.key === whole);
    },
  };
}

/** Every version that runs on this base and to which calls may come: see registry/may-serve.ts. */
function mayServeOn({ registry }: TrialParts, base: string): MayServe[] {
  const found: MayServe[] = [];
  for (const { record } of registry.functions()) {
    for (const one of registry.mayServe(record.name)) if (one.version.claims.base === base) found.push(one);
  }
  return found;
}

/** Every version that takes traffic and runs on this base. */
export function servingOn(registry: Pick<Registry, 'functions'>, base: string): VersionEntry[] {
  const found: VersionEntry[] = [];
  for (const entry of registry.functions()) {
    for (const version of entry.serving) if (version.claims.base === base) found.push(version);
  }
  return found;
}

/** Which of its versions it is, and why it counts, where the function's name does not say it. */
function named({ registry }: TrialParts, { version, by }: MayServe): string {
  if (by === 'rollback') return `Version ${version.version}, to which a rollback leads until traffic has moved again: `;
  if (by === 'rollout') return `Version ${version.version}, to which a rollout may lead that is not over: `;
  const alone = registry.function(version.functionName)?.serving.length === 1;
  return alone ? '' : `Version ${version.version}: `;
}

/** The setup runs at the first load, so a module that does nothing shows whether it does. */
async function proveEmpty({ bases, network }: TrialParts, next: BaseDefinition): Promise<void> {
  try {
    await bases.prove(next, emptyModule(next.name, network), null);
  } catch (error) {
    if (!(error instanceof HearthError)) throw error;
    if (error.code === 'NO_CAPACITY' && !NO_BASES.test(error.message)) throw error;
    throw new HearthError('PROBE_FAILED', `The base "${next.name}" stays as it is. ${error.message}`, {
      cause: error,
      functionStack: error.functionStack,
    });
  }
}

/** Null: it comes up. Throws NO_CAPACITY when there is no base for it. */
async function refusal(parts: TrialParts, next: BaseDefinition, version: VersionEntry): Promise<string | null> {
  const { spec, manifest, record } = version;
  try {
    const image = await spec.image();
    const missing = missingIn(next, record, image.code);
    if (missing !== null) return missing;
    for (const form of formsOf(parts, spec)) await parts.bases.prove(next, form, manifest.hearth.ready);
    return null;
  } catch (error) {
    if (!(error instanceof HearthError)) throw error;
    if (error.code === 'NO_CAPACITY' && !/could not be read/.test(error.message)) throw error;
    return error.message;
  }
}

async function comesUp(parts: TrialParts, before: BaseDefinition, version: VersionEntry): Promise<boolean> {
  try {
    return (await refusal(parts, before, version)) === null;
  } catch (error) {
    if (error instanceof HearthError && NO_BASES.test(error.message)) return false;
    throw error;
  }
}

/** What a publication splits off of one of a group runs in a base of its own. */
function formsOf({ registry }: TrialParts, spec: ModuleSpec): ModuleSpec[] {
  const split = registry.publicationsOf(spec.functionName).some(({ splits }) => splits.length > 0);
  return spec.group !== null && split ? [spec, { ...spec, key: `${spec.key}/split`, group: null }] : [spec];
}

/** What this version leaves to its base and does not find there, also where it asks for it only later; null: nothing. */
export function missingIn(
  base: BaseDefinition,
  { provided, wants }: Pick<VersionRecord, 'provided' | 'wants'>,
  code: Uint8Array,
): string | null {
  if (provided.length === 0) return null;
  for (const { library } of provided) {
    const shared = base.shared.find((entry) => entry.library === library);
    if (shared === undefined) return `It leaves "${library}" to its base, which does not share it.`;
    const range = wants?.find((wanted) => wanted.library === library)?.range;
    if (range !== undefined && !isWithin(shared.version, range)) {
      return `Its package.json wants "${library}" ${range}, and the base has ${shared.version}.`;
    }
  }
  const specifiers = new Set(base.shared.map(({ specifier }) => specifier));
  const absent = askedOf(provided, code).find((specifier) => !specifiers.has(specifier));
  return absent === undefined ? null : `It leaves "${absent}" to its base, which does not share it.`;
}

/** Specifiers of these libraries that a bundle asks for: as the builder writes it, in both forms of its output. */
function askedOf(provided: VersionRecord['provided'], code: Uint8Array): string[] {
  const libraries = provided.map(({ library }) => RegExp.escape(library)).join('|');
  const asks = new RegExp(`require(?:"\\)\\])?\\("((?:${libraries})(?:/[^"]*)?)"\\)`, 'g');
  const text = Buffer.from(code.buffer, code.byteOffset, code.byteLength).toString('latin1');
  return [...text.matchAll(asks)].flatMap(([, specifier]) => specifier ?? []);
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
