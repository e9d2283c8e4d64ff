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
  const compiled = rules.map(({ type, globs }) => ({ kind: RULES[type], matchers: globs.map(toMatcher) }));
  return (path) => {
    const own = EXTENSIONS[extensionOf(path)];
    const rule = compiled.find(({ matchers }) => matchers.some((matches) => matches(path)));
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

/** A glob without a slash is one of the top alone, as wrangler has it. */
function toMatcher(glob: string): (path: string) => boolean {
  // Texts at even places, what may stand between them at odd ones.
  const parts = glob.replace(/^\.\//, '').split(/(\*\*\/|\*+)/);
  const [head = '', tail = ''] = [parts[0], parts.at(-1)];
  return (path) => path.startsWith(head) && path.endsWith(tail) && matchesAll(parts, path);
}

/** Part by part, with all places where it may have come to: no pattern takes longer than its length times that of the path. */
function matchesAll(parts: readonly string[], path: string): boolean {
  let ends: Iterable<number> = [0];
  for (const [i, part] of parts.entries())
    ends = i % 2 === 0 ? afterText(part, path, ends) : afterGap(part, path, ends);
  for (const end of ends) if (end === path.length) return true;
  return false;
}

function* afterText(text: string, path: string, from: Iterable<number>): Iterable<number> {
  for (const at of from) if (path.startsWith(text, at)) yield at + text.length;
}

function afterGap(gap: string, path: string, from: Iterable<number>): number[] {
  const begins = new Set(from);
  const reached: number[] = [];
  let open = false;
  for (let at = 0; at <= path.length; at++) {
    const behindSlash = path[at - 1] === '/';
    if (gap === '*' && behindSlash) open = false;
    if (begins.has(at) || (open && (gap !== '**/' || behindSlash))) reached.push(at);
    open ||= begins.has(at);
  }
  return reached;
}
