/** What goes into a build and what comes out of it. */
import type { Manifest } from '../contract/manifest.ts';

/** One import specifier that the base shares. */
export interface ProvidedSpecifier {
  /** Exactly as it is imported: `hono`, `hono/cors`. */
  specifier: string;
  library: string;
  version: string;
  bytes: number;
}

export interface BuildInput {
  manifest: Manifest;
  /** Paths already checked by checkPaths. */
  files: ReadonlyMap<string, Uint8Array>;
  provided: readonly ProvidedSpecifier[];
}

export interface BuildOutput {
  /** `cjs`: CommonJS, run as a function of (exports, require, module, __filename, __dirname). `esm`: has top-level await. */
  format: 'cjs' | 'esm';
  code: Uint8Array;
  /** JSON, sources named by their path in the tree, without their content. */
  sourceMap: Uint8Array | null;
  /** Files that are not in the code: they stand in a directory that the function sees as its own. */
  files: { path: string; bytes: Uint8Array }[];
  /** Code and files together. */
  sizeBytes: number;
  /** Libraries left out of the code since the base has them; `bytes` of the parts that are used. */
  provided: { library: string; version: string; bytes: number }[];
  /** In which ranges its package.json wants libraries that were left to the base: another base has to keep to them. */
  wants: { library: string; range: string }[];
  /** Libraries of the base that the function brings in another version, bundled. */
  ownCopies: { library: string; version: string; baseVersion: string }[];
}

/** As BuildOutput, with paths for files: what comes back from the builder process, which got their bytes from us. */
export type BuildResult = Omit<BuildOutput, 'files'> & { files: string[] };
