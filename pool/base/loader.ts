/** Code to running module: compile, then evaluate. Knows nothing of what the exports mean. */
import { Script } from 'node:vm';
import { type LoadHead, monotonicMs } from '../../functions/contract/invocation.ts';
import type { GuestGlobals } from './guest-globals.ts';

/** The names a module finds in its scope beside the globals. */
export interface Scope {
  require(specifier: string): unknown;
  process: unknown;
  /** Directory of the module's own files; `/` when it has none. */
  dirname: string;
  /** What a module of a group has to itself; null: it is alone. */
  globals: GuestGlobals | null;
}

export interface Evaluated {
  exports: unknown;
  compiledAt: number;
  evaluatedAt: number;
  /** Whether V8 took the code cache. */
  cacheUsed: boolean;
  /** Made now, so that it holds what was compiled lazily until here; null for ES modules. */
  makeCodeCache(): Uint8Array | null;
}

/** What stands around the code of a module, ASCII. */
export interface Frame {
  before: string;
  after: string;
}

const FRAMES: Record<LoadHead['format'] | 'grouped', Frame> = {
  // One line in front, so that line numbers of a stack are those of the bundle.
  cjs: { before: '(function (exports, require, module, __filename, __dirname, process) { ', after: '\n})' },
  esm: { before: '', after: '' },
  // Names around the module's own scope, in which it may well declare the same ones.
  grouped: {
    before:
      '(function (console, setTimeout, setInterval) { return (function (exports, require, module, __filename, __dirname, process) { ',
    after: '\n})})',
  },
};

export function frameOf({ format, group }: Pick<LoadHead, 'format' | 'group'>): Frame {
  return FRAMES[format === 'cjs' && group !== undefined ? 'grouped' : format];
}

/**
 * Runs a CommonJS bundle that has its frame around it. `name` is what stacks show. Without a callback for dynamic imports V8 refuses `import()` in
 * the script, in `eval` and in `new Function` below it.
 */
export function evaluateCommonJs(name: string, code: string, codeCache: Uint8Array | null, scope: Scope): Evaluated {
  const filename = `${name}.js`;
  const script = new Script(code, {
    filename,
    ...(codeCache === null ? {} : { cachedData: codeCache }),
  });
  const made = script.runInThisContext() as (...args: unknown[]) => unknown;
  const { globals } = scope;
  const wrapper = (
    globals === null ? made : made(globals.console, globals.setTimeout, globals.setInterval)
  ) as typeof made;
  const compiledAt = monotonicMs();
  const module = { exports: {} as unknown, id: filename, filename, loaded: false, children: [], paths: [] };
  wrapper.call(
    module.exports,
    module.exports,
    scope.require,
    module,
    `${scope.dirname}/${filename}`,
    scope.dirname,
    scope.process,
  );
  module.loaded = true;
  return {
    exports: module.exports,
    compiledAt,
    evaluatedAt: monotonicMs(),
    cacheUsed: codeCache !== null && script.cachedDataRejected === false,
    makeCodeCache: () => script.createCachedData(),
  };
}

/** Runs an ES module with top-level await. It can never be unloaded: such a module has a base of its own. */
export async function evaluateEsModule(name: string, code: string): Promise<Evaluated> {
  const source = `${code}\n//# sourceURL=${name}.js`;
  const url = `data:text/javascript;base64,${Buffer.from(source).toString('base64')}`;
  const compiledAt = monotonicMs();
  const exports: unknown = await import(url);
  return { exports, compiledAt, evaluatedAt: monotonicMs(), cacheUsed: false, makeCodeCache: () => null };
}
