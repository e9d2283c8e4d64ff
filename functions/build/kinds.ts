/** What an imported file becomes: by the rules of its manifest, then by its extension. */
import type { ModuleRule } from '../contract/manifest-workers.ts';

/** `data`: an ArrayBuffer. `wasm`: a WebAssembly.Module. The others are esbuild's loaders of those names. */
export type ModuleKind = 'ts' | 'tsx' | 'js' | 'jsx' | 'json' | 'text' | 'data' | 'wasm';

const EXTENSIONS: Readonly<Record<string, ModuleKind>> = {
  // A file without an extension is JavaScript, as for Node (`bin/www`).
  '': 'js',
  '.ts': 'ts',
  '.mts': 'ts',
  '.cts': 'ts',
  '.tsx': 'tsx',
  '.js': 'js',
  '.mjs': 'js',
  '.cjs': 'js',
  '.jsx': 'jsx',
  '.json': 'json',
  '.txt': 'text',
  '.html': 'text',
  '.sql': 'text',
  '.bin': 'data',
  '.wasm': 'wasm',
};

const RULES: Readonly<Record<ModuleRule['type'], ModuleKind | 'source'>> = {
  ESModule: 'source',
  CommonJS: 'source',
  Text: 'text',
  Data: 'data',
  CompiledWasm: 'wasm',
};

/** Of a path in the tree; undefined: no rule and no extension says it. */
export function createKinds(rules: readonly ModuleRule[]): (path: string) => ModuleKind | undefined {
  const compiled = rules.map(({ type, globs }) => ({ kind: RULES[type], patterns: globs.map(toPattern) }));
  return (path) => {
    const own = EXTENSIONS[extensionOf(path)];
    const rule = compiled.find(({ patterns }) => patterns.some((pattern) => pattern.test(path)));
    if (rule === undefined) return own;
    if (rule.kind !== 'source') return rule.kind;
    return own === 'ts' || own === 'tsx' || own === 'jsx' ? own : 'js';
  };
}

/** With its dot; of a name that begins with its only one, none. */
export function extensionOf(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const dot = name.lastIndexOf('.');
  return dot <= 0 ? '' : name.slice(dot);
}

/** A glob without a slash is one of the top alone, as wrangler has it. How many stars there may be is the manifest's rule. */
function toPattern(glob: string): RegExp {
  const source = glob
    .replace(/^\.\//, '')
    .split(/(\*\*\/|\*+)/)
    .map((part, i) => {
      if (i % 2 === 0) return RegExp.escape(part);
      if (part === '**/') return '(?:.*/)?';
      return part === '*' ? '[^/]*' : '.*';
    })
    .join('');
  return new RegExp(`^${source}$`);
}
