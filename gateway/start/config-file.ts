/**
 * hearth.config.jsonc: base definitions and pools, as the operator wrote them. JSON with comments and trailing commas;
 * unknown keys are refused, and every error says where it stands.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  findNodeAtLocation,
  getNodeValue,
  type Node,
  type ParseError,
  parseTree,
  printParseErrorCode,
} from 'jsonc-parser';
import { z } from 'zod';
import { NAME_PATTERN, NAME_RULE } from '../../functions/contract/limits.ts';
import { type PoolTotals, poolSizes } from '../../pool/keeper/pools.ts';
import { ConfigError } from '../config.ts';

const name = z.string().regex(NAME_PATTERN, `a name ${NAME_RULE}`);

const shared = z.union(
  [
    z
      .string()
      .min(1)
      .transform((specifier) => ({ as: specifier, from: specifier })),
    z.strictObject({ as: z.string().min(1), from: z.string().min(1) }),
  ],
  { error: 'an import specifier, or { "as": the specifier modules import, "from": the one it is installed under }' },
);

const baseSchema = z.strictObject({
  /** Exact import specifiers the base provides to its modules; `from` differs where npm installed it under an alias. */
  shared: z.array(shared).default([]),
  /** Module whose default export runs in the base at lease; what it returns is `env.BASE`. */
  setup: z.string().min(1).optional(),
  /** Declarations for authors of modules, with `export interface Base`: the type of `env.BASE`. */
  types: z.string().min(1).optional(),
  /** Variables of the gateway's environment that `setup` sees. */
  env: z.array(z.string().regex(/^[A-Za-z_]\w*$/, 'the name of an environment variable')).default([]),
  /** Warm bases without a lessee at least; without it HEARTH_WARM_BASES. */
  warm: z.int().min(0).max(1000).optional(),
});

/** What is left out is shared out: see poolSizes. */
const poolSchema = z
  .strictObject({
    /** Bases it may have; its own, whatever other pools need. */
    maxBases: z.int().min(1).max(100_000).optional(),
    /** What its hosts may use together, as PSS. */
    memoryMb: z.int().min(64).max(100_000_000).optional(),
    /** Warm bases without a lessee, per base definition; without it what the definition says, else HEARTH_WARM_BASES. */
    warm: z.int().min(0).max(1000).optional(),
    /** Without it HEARTH_BASES_PER_HOST. Of the buffer: what is lent at once. */
    basesPerHost: z.int().min(1).max(64).optional(),
    placement: z.enum(['spread', 'pack']).optional(),
  })
  .refine(({ warm, maxBases }) => warm === undefined || maxBases === undefined || warm <= maxBases, {
    path: ['warm'],
    message: 'more warm bases than maxBases allows',
  });

const fileSchema = z.strictObject({
  bases: z.record(name, baseSchema).default({}),
  pools: z.record(name, poolSchema).default({}),
});

export type BaseSource = z.output<typeof baseSchema>;

/** Throws ConfigError when the pools come to more than there is, or one of them to nothing. */
export function checkPools(pools: ConfigFile['pools'], totals: PoolTotals): void {
  try {
    poolSizes(pools, totals);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new ConfigError(`pools: ${error.message}.`);
  }
}

export interface ConfigFile {
  /** What relative paths and libraries are resolved from. */
  directory: string;
  bases: Record<string, BaseSource>;
  pools: Record<string, z.output<typeof poolSchema>>;
}

/** The definition that stands when the file names no `default`. */
const DEFAULT_BASE: BaseSource = { shared: [{ as: 'hono', from: 'hono' }], env: [] };

/** Reads the named file, or the working directory's when there is one. Throws ConfigError with file, line and column. */
export function readConfigFile(named: string | null, workingDirectory: string): ConfigFile {
  const path = named ?? join(workingDirectory, 'hearth.config.jsonc');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (named === null && (error as NodeJS.ErrnoException).code === 'ENOENT') {
      return { directory: workingDirectory, bases: { default: DEFAULT_BASE }, pools: {} };
    }
    throw new ConfigError(`HEARTH_CONFIG: ${path} cannot be read (${(error as Error).message}).`);
  }
  const parsed = parseConfigFile(text, path);
  return {
    directory: dirname(path),
    bases: { default: DEFAULT_BASE, ...parsed.bases },
    pools: parsed.pools,
  };
}

function parseConfigFile(text: string, path: string): z.output<typeof fileSchema> {
  const syntax: ParseError[] = [];
  const tree = parseTree(text, syntax, { allowTrailingComma: true });
  const [first] = syntax;
  if (first !== undefined) throw new ConfigError(`${place(path, text, first.offset)}: ${sentence(first)}.`);
  if (tree === undefined) throw new ConfigError(`${path}:1:1: the file is empty; {} is the least it can hold.`);

  const checked = fileSchema.safeParse(getNodeValue(tree));
  if (checked.success) return checked.data;
  const messages = checked.error.issues.map((issue) => {
    const extra = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
    const keys = (extra === undefined ? issue.path : [...issue.path, extra]) as (string | number)[];
    const what = extra === undefined ? issue.message : 'no such setting';
    return `${place(path, text, offsetOf(tree, keys))}: ${keys.join('.') || 'the file'}: ${what}`;
  });
  throw new ConfigError(`${messages.join('; ')}.`);
}

/** Where the key stands, or the innermost thing around it that exists. */
function offsetOf(tree: Node, keys: (string | number)[]): number {
  for (let depth = keys.length; depth > 0; depth--) {
    const node = findNodeAtLocation(tree, keys.slice(0, depth));
    if (node !== undefined) return node.parent?.type === 'property' ? node.parent.offset : node.offset;
  }
  return tree.offset;
}

function place(path: string, text: string, offset: number): string {
  const before = text.slice(0, offset);
  const line = before.split('\n').length;
  return `${path}:${line}:${offset - before.lastIndexOf('\n')}`;
}

/** `CommaExpected` → `comma expected`. */
function sentence(error: ParseError): string {
  return printParseErrorCode(error.error)
    .replaceAll(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase();
}
