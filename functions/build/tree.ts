/** The uploaded tree: which paths are admitted, which file is the main one, and what version its content makes. */
import { createHash } from 'node:crypto';
import { HearthError } from '../contract/errors.ts';
import { MAX_DEPLOY_FILES } from '../contract/limits.ts';
import { defaultMain, plainPath } from '../contract/main-file.ts';
import type { Manifest } from '../contract/manifest.ts';
import { MANIFEST_FILES } from '../contract/manifest-file.ts';

/** Paths relative to the top of the upload, with `/` between segments. */
export type Tree = ReadonlyMap<string, Uint8Array>;

const MAX_PATH_BYTES = 512;
/** What file systems take as one name. */
const MAX_SEGMENT_BYTES = 255;

/** Null when a file may stand under this path, else a sentence that says why not. */
export function checkPath(path: string): string | null {
  const shown = JSON.stringify(path.length > 80 ? `${path.slice(0, 80)}…` : path);
  if (path === '') return 'A file has no path.';
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return `The path ${shown} is longer than ${MAX_PATH_BYTES} bytes.`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(path)) return `The path ${shown} has a control character in it.`;
  if (!path.isWellFormed()) return `The path ${shown} is not valid Unicode.`;
  if (path.includes('\\')) return `The path ${shown} has a backslash in it; segments are separated by "/".`;
  if (path.startsWith('/') || /^[A-Za-z]:/.test(path))
    return `The path ${shown} is absolute; give it relative to the function's directory.`;
  for (const segment of path.split('/')) {
    if (segment === '') return `The path ${shown} has an empty segment.`;
    if (segment === '.' || segment === '..')
      return `The path ${shown} has a "${segment}" in it; give it in its plain form.`;
    if (Buffer.byteLength(segment) > MAX_SEGMENT_BYTES)
      return `The path ${shown} has a name longer than ${MAX_SEGMENT_BYTES} bytes.`;
  }
  return null;
}

/** Null when these paths may stand beside each other, else a sentence that says why not. */
export function checkPaths(paths: Iterable<string>): string | null {
  const all = new Set(paths);
  if (all.size === 0) return 'There is no file in the deploy.';
  if (all.size > MAX_DEPLOY_FILES)
    return `The deploy has ${all.size} files; ${MAX_DEPLOY_FILES} are allowed. Bundle dependencies or leave out what is not used.`;
  for (const path of all) {
    const problem = checkPath(path);
    if (problem !== null) return problem;
    for (const directory of directoriesOf(path)) {
      if (all.has(directory)) return `"${directory}" is a file and a directory at once.`;
    }
  }
  return null;
}

/** All directories above a path, the nearest first, without the top itself: `a/b`, `a` for `a/b/c`. */
export function directoriesOf(path: string): string[] {
  const directories: string[] = [];
  for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1))
    directories.push(path.slice(0, end));
  return directories;
}

/** `''` for a file at the top. */
export function directoryOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/** Joins and simplifies a path inside the tree; null when it leads out of it. The top is `''`. */
export function join(directory: string, relative: string): string | null {
  if (relative.startsWith('/')) return null;
  const segments = directory === '' ? [] : directory.split('/');
  for (const segment of relative.split('/')) {
    if (segment === '' || segment === '.') continue;
    if (segment !== '..') segments.push(segment);
    else if (segments.pop() === undefined) return null;
  }
  return segments.join('/');
}

/** The manifest file at the top of the tree that counts; undefined when there is none. */
export function manifestFileOf(files: Tree): string | undefined {
  return MANIFEST_FILES.find((name) => files.has(name));
}

/**
 * The file to start from: the manifest's `main`, else package.json's `main`, else index.ts, src/index.ts and the like,
 * else the only source file there is.
 * @throws HearthError MANIFEST_INVALID when `main` is not in the tree, BUILD_FAILED when no main file is found.
 */
export function mainOf(manifest: Manifest, files: Tree): string {
  if (manifest.main !== null) {
    const main = plainPath(manifest.main);
    if (files.has(main)) return main;
    const message = `"main" is ${JSON.stringify(manifest.main)}, which is not among the deployed files.`;
    throw new HearthError('MANIFEST_INVALID', message, { errors: [{ message, path: 'main' }] });
  }
  const found = defaultMain(files, readJson(files, 'package.json')?.main);
  if (found !== undefined) return found;
  const message = 'No main file: set "main" in the manifest, or name it index.ts, src/index.ts or index.js.';
  throw new HearthError('BUILD_FAILED', message, { errors: [{ message }] });
}

/** A JSON object of the tree; undefined when it is absent or is none. */
export function readJson(files: Tree, path: string): Record<string, unknown> | undefined {
  const bytes = files.get(path);
  if (bytes === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/**
 * The version a manifest and its files make: 24 hex digits (96 bits) of a SHA-256. The order of files and of the
 * manifest's keys does not count; secrets are no part of it.
 */
export function versionOf(manifest: Manifest, files: Tree): string {
  const hash = createHash('sha256');
  const update = (part: string | Uint8Array) => {
    // Lengths in front, so that no two trees give the same stream of bytes.
    hash.update(`${typeof part === 'string' ? Buffer.byteLength(part) : part.byteLength}:`);
    hash.update(part);
  };
  update(canonical(manifest));
  for (const path of [...files.keys()].sort()) {
    update(path);
    update(files.get(path) ?? new Uint8Array());
  }
  return hash.digest('hex').slice(0, 24);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
