/**
 * esbuild's only way to a file. Every path is resolved and every content given here, from memory: esbuild by itself
 * would follow absolute paths, `..`, symlinks, import attributes and source map comments to any file of the machine.
 */
import { isBuiltin } from 'node:module';
import type { Loader, OnLoadResult, OnResolveArgs, OnResolveResult, Plugin } from 'esbuild';
import type { ProvidedSpecifier } from './api.ts';
import { carriedMap } from './carried-map.ts';
import { extensionOf, type ModuleKind } from './kinds.ts';
import { type Insertion, place } from './place.ts';
import type { Provide } from './provided.ts';
import type { ImportStyle, Resolver } from './resolve.ts';
import type { Tree } from './tree.ts';

/** Namespace of the uploaded files: what keeps esbuild from its own file access. */
export const TREE = 'tree';
/** Namespace of modules that fetch something from the base; only in ES modules. */
const HOST = 'hearth-host';
/** Bytes behind a module that makes an ArrayBuffer or a WebAssembly.Module of them. */
const RAW = 'hearth-bytes';

const RUNTIME_MODULES = new Set(['hearth', 'hearth/business', 'cloudflare:workers', 'cloudflare:node']);

/** What a build found out on its way. */
export interface TreeUse {
  insertions: Map<string, Insertion>;
  /** By specifier. May hold what was then left out as unused. */
  provided: Map<string, ProvidedSpecifier>;
  /** By library: the range in which it is wanted. */
  wants: Map<string, string>;
  ownCopies: Map<string, { library: string; version: string; baseVersion: string }>;
  /** Files that ask for their own place. */
  placed: Set<string>;
}

export interface TreePluginOptions {
  files: Tree;
  resolver: Resolver;
  provide: Provide;
  kindOf(path: string): ModuleKind | undefined;
  format: 'cjs' | 'esm';
  use: TreeUse;
}

const ATTRIBUTE_LOADERS: Readonly<Record<string, Loader>> = { json: 'json', text: 'text', bytes: 'binary' };

export function treePlugin({ files, resolver, provide, kindOf, format, use }: TreePluginOptions): Plugin {
  function fromBase(specifier: string, args: OnResolveArgs): OnResolveResult {
    const attribute = Object.keys(args.with)[0];
    if (attribute !== undefined)
      return refuse(`"${specifier}" is no file: "with { ${attribute}: … }" has no meaning for it.`);
    if (format === 'cjs') return { path: specifier, external: true };
    // A data: URL module has no require of its own, and `import` in it would go past the base's policy.
    return { path: specifier, namespace: HOST };
  }

  function resolveInTree(specifier: string, args: OnResolveArgs): OnResolveResult | undefined {
    const resolution = resolver.resolve(specifier, args.importer, styleOf(args.kind));
    switch (resolution.found) {
      case 'file':
        return { path: resolution.path, namespace: TREE, sideEffects: resolution.sideEffects };
      case 'specifier':
        return resolve(resolution.specifier, args);
      case 'forbidden':
        return refuse(resolution.why);
      case 'nothing':
        return leave(resolution.why, specifier, args);
    }
  }

  /** Node finds out that something is missing only when the `require` is reached, which optional dependencies rely on. */
  function leave(why: string, specifier: string, args: OnResolveArgs): OnResolveResult | undefined {
    if (args.kind === 'require-resolve') return { path: specifier, external: true };
    if (args.kind !== 'require-call' && args.kind !== 'dynamic-import') return refuse(why);
    if (args.importer.includes('node_modules/')) return { path: specifier, external: true };
    // Answered by esbuild itself, which has no directory to look in: an error, unless the call stands in a `try`.
    return undefined;
  }

  function resolve(specifier: string, args: OnResolveArgs): OnResolveResult | undefined {
    if (args.kind === 'url-token' || args.kind === 'import-rule') return refuse('Style sheets cannot be imported.');
    if (RUNTIME_MODULES.has(specifier) || isBuiltin(specifier)) return fromBase(specifier, args);
    const provision = provide(specifier, args.importer);
    switch (provision.from) {
      case 'base':
        use.provided.set(specifier, provision.specifier);
        if (provision.range !== undefined) use.wants.set(provision.specifier.library, provision.range);
        return fromBase(specifier, args);
      case 'nowhere':
        return refuse(provision.why);
      case 'own copy': {
        const { library, version, baseVersion } = provision;
        use.ownCopies.set(`${library}@${version}`, { library, version, baseVersion });
        return resolveInTree(specifier, args);
      }
      case 'tree':
        return resolveInTree(specifier, args);
    }
  }

  function load(path: string, attributes: Record<string, string>): OnLoadResult {
    const contents = files.get(path);
    if (contents === undefined) return refuse(`"${path}" is not among the deployed files.`);
    for (const [key, value] of Object.entries(attributes)) {
      const loader = key === 'type' ? ATTRIBUTE_LOADERS[value] : undefined;
      if (loader === undefined)
        return refuse(`The import attribute ${key}: "${value}" is not known; type may be "json", "text" or "bytes".`);
      return { contents, loader };
    }
    const kind = kindOf(path);
    if (kind === undefined) return refuse(unknownKind(path, extensionOf(path)));
    if (kind === 'data' || kind === 'wasm') return { contents: bytesModule(path, kind), loader: 'js' };
    if (kind === 'json' || kind === 'text') return { contents, loader: kind };
    return { contents: source(path, contents), loader: kind };
  }

  function source(path: string, bytes: Uint8Array): string | Uint8Array {
    const placed = place(path, bytes);
    if (placed !== undefined) {
      use.placed.add(path);
      use.insertions.set(path, placed.insertion);
    }
    const contents = placed?.contents ?? bytes;
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (!view.includes('sourceMappingURL=')) return contents;
    // esbuild reads the file that the last such comment names. This one names nothing it would read: a map that stands in
    // the comment itself, as bundlers write it, or nothing. Sources of a package are of no use to who deploys it.
    const text = typeof contents === 'string' ? contents : view.toString();
    const carried = path.includes('node_modules/') ? undefined : carriedMap(text);
    const url = carried === undefined ? 'none:' : `data:application/json;base64,${carried}`;
    return `${text}\n//# sourceMappingURL=${url}`;
  }

  return {
    name: 'hearth',
    setup(esbuild) {
      esbuild.onResolve({ filter: /.*/ }, (args) => {
        if (args.kind === 'entry-point') return { path: args.path, namespace: TREE };
        if (args.namespace !== TREE) return refuse(`"${args.path}" is imported from outside the deployed files.`);
        if (args.path.startsWith(BYTES_PREFIX)) return { path: args.path.slice(BYTES_PREFIX.length), namespace: RAW };
        const specifier = args.path.endsWith('.wasm?module') ? args.path.slice(0, -'?module'.length) : args.path;
        return resolve(specifier, args);
      });
      esbuild.onLoad({ filter: /.*/, namespace: TREE }, ({ path, with: attributes }) => load(path, attributes));
      esbuild.onLoad({ filter: /.*/, namespace: HOST }, ({ path }) => ({
        contents: `module.exports = globalThis[Symbol.for("hearth.require")](${JSON.stringify(path)})`,
        loader: 'js',
      }));
      esbuild.onLoad({ filter: /.*/, namespace: RAW }, ({ path }) => {
        const contents = files.get(path);
        return contents === undefined
          ? refuse(`"${path}" is not among the deployed files.`)
          : { contents, loader: 'binary' };
      });
      // Reached by no resolution above; here so that it stays so.
      esbuild.onLoad({ filter: /.*/ }, ({ path }) => refuse(`"${path}" is not among the deployed files.`));
    },
  };
}

const BYTES_PREFIX = 'hearth-bytes:';

function bytesModule(path: string, kind: 'data' | 'wasm'): string {
  const bytes = `import bytes from ${JSON.stringify(`${BYTES_PREFIX}${path}`)};\n`;
  return bytes + (kind === 'data' ? 'export default bytes.buffer;' : 'export default new WebAssembly.Module(bytes);');
}

function unknownKind(path: string, extension: string): string {
  if (extension === '.node')
    return `"${path}" is a native addon, which cannot be loaded in a base: it would be shared by all functions of the process.`;
  if (extension === '.css') return `"${path}" is a style sheet: read it as a file, or import it with { type: "text" }.`;
  return `"${path}" is no source, JSON, text (.txt, .html, .sql), .bin or .wasm; give it a type in the manifest's "rules", or import it with { type: "text" } or { type: "bytes" }.`;
}

function styleOf(kind: OnResolveArgs['kind']): ImportStyle {
  return kind === 'require-call' || kind === 'require-resolve' ? 'require' : 'import';
}

function refuse(text: string): { errors: { text: string }[] } {
  return { errors: [{ text }] };
}
