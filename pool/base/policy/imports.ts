/**
 * `import` inside a base. Scripts cannot import dynamically at all (see loader.ts); modules with top-level await come
 * from a data: URL and import what a require would give them: guarded built-ins, shared libraries, the runtime. All
 * other addresses are refused: files, and further data: URLs.
 */
import { registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';
import type { Builtins } from './builtins.ts';
import { NotAllowedError } from './denied.ts';
import { sliceText, startsWith } from './intrinsics.ts';

export interface ImportOptions {
  builtins: Builtins;
  /** What `require` gives for names that are no built-ins; undefined when it knows none. */
  provided(specifier: string): unknown;
  /** Code from here is a module's own, whatever its address looks like. */
  filesDir: string;
}

const GATE = Symbol.for('hearth.import');

/** Holds for this thread, from now on. */
export function guardImports(options: ImportOptions): void {
  const { builtins } = options;
  const decode = decodeURIComponent;
  const encode = encodeURIComponent;
  const foreign = `${pathToFileURL(options.filesDir).href}/`;
  // Files that booted the base: its own bundle and shared libraries, which may load a built-in late.
  const trusted = (parent: string | undefined) =>
    parent !== undefined && startsWith(parent, 'file:') && !startsWith(parent, foreign);
  const find = (specifier: string) =>
    builtins.isBuiltin(specifier) ? builtins.get(specifier) : options.provided(specifier);

  Object.defineProperty(globalThis, GATE, { value: find });
  registerHooks({
    resolve(specifier, context, next) {
      if (trusted(context.parentURL) || (builtins.isBuiltin(specifier) && builtins.isPlain(specifier))) {
        return next(specifier, context);
      }
      if (find(specifier) === undefined) throw new NotAllowedError(`import of ${JSON.stringify(specifier)}`);
      return { url: `hearth:${encode(specifier)}`, format: 'module', shortCircuit: true };
    },
    load(url, context, next) {
      if (!startsWith(url, 'hearth:')) return next(url, context);
      const specifier = decode(sliceText(url, 'hearth:'.length));
      return { format: 'module', source: facade(specifier, find(specifier)), shortCircuit: true };
    },
  });
}

/** An ES module that exports what the object has. */
function facade(specifier: string, value: unknown): string {
  const isObject = (typeof value === 'object' && value !== null) || typeof value === 'function';
  const names = isObject ? Object.keys(value).filter((name) => name !== 'default') : [];
  const lines = names.map(
    (name, at) => `const v${at} = m[${JSON.stringify(name)}]; export { v${at} as ${JSON.stringify(name)} };`,
  );
  return [
    `const m = globalThis[Symbol.for('hearth.import')](${JSON.stringify(specifier)});`,
    'export default m.__esModule === true ? m.default : m;',
    ...lines,
  ].join('\n');
}
