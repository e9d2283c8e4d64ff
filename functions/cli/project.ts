/** A directory or a file on its way to the gateway: its manifest read, its code bundled where that is needed. */
import { dirname } from 'node:path';
import { parse as parseJsonc } from 'jsonc-parser';
import { parse as parseToml } from 'smol-toml';
import { defaultMain, plainPath } from '../contract/main-file.ts';
import type { Manifest } from '../contract/manifest.ts';
import { parseManifest } from '../contract/manifest-file.ts';
import { type Bundle, bundleProject } from './bundle.ts';
import { type Client, segment } from './client.ts';
import { ApiFailure } from './failure.ts';
import { checkedName, nameFromPath } from './names.ts';
import { readSource, type SourceTree } from './source-tree.ts';
import type { OnSent } from './upload.ts';

export interface ProjectOptions {
  /** Of the function; else the manifest's, else from the path. */
  name: string | undefined;
  /** Base definition in place of the manifest's. */
  base: string | undefined;
  /** False: its files are sent as they are. */
  bundle: boolean;
  /** For a debugger on this machine. */
  inspect: boolean;
}

export interface Project {
  name: string;
  form: FormData;
  leftOut: readonly string[];
  /** Sources elsewhere that are in the bundle, absolute. */
  outside: readonly string[];
  /** Bytes of the bundle; null: files go as they are. */
  bundledBytes: number | null;
  /** What the gateway says about the upload, said about the sources. */
  explained(error: unknown): unknown;
}

/** What the gateway answers. */
export interface Deployed {
  name: string;
  version: string;
  state: string;
  url: string;
  sizeBytes: number;
  provided: { library: string; version: string; bytes: number }[];
  ownCopies?: { library: string; version: string; baseVersion: string }[];
  timings: { buildMs: number; loadMs: number; probeMs: number; totalMs: number };
}

/** @throws ApiFailure whose places are those of the sources. */
export async function deployProject(
  project: Project,
  client: Client,
  { activate = true, onSent }: { activate?: boolean; onSent?: OnSent | undefined } = {},
): Promise<Deployed> {
  try {
    return await client.call<Deployed>('PUT', `/v1/functions/${segment(project.name)}`, {
      form: project.form,
      query: { activate: activate ? undefined : 'false' },
      ...(onSent === undefined ? {} : { onSent }),
    });
  } catch (error) {
    throw project.explained(error);
  }
}

/** @throws Failure, HearthError MANIFEST_INVALID or BUILD_FAILED with their places, UsageError. */
export async function readProject(path: string, options: ProjectOptions, client: Client): Promise<Project> {
  const source = await readSource(path);
  const { files, leftOut, manifest: file } = source;
  const manifest = file === null ? null : parseManifest(file.text, file.path);
  const name = options.name === undefined ? (manifest?.name ?? nameFromPath(path)) : checkedName(options.name);
  const bundle = options.bundle ? await bundled(path, source, manifest, options, client) : null;

  const sent = new Map(files);
  if (bundle !== null) {
    const assets = manifest?.assets?.directory;
    for (const sentPath of files.keys()) {
      // Whatever stands there is served as it is.
      if (assets !== undefined && sentPath.startsWith(`${assets}/`)) continue;
      if (bundle.inputs.has(sentPath) || isUseless(sentPath)) sent.delete(sentPath);
    }
    for (const [asset, content] of bundle.assets) sent.set(asset, content);
    sent.set(bundle.path, bundle.code);
  }
  const form = new FormData();
  const changed = changedManifest(source, bundle, options.base);
  if (changed !== null) {
    form.append('manifest', new Blob([changed.text]), changed.path);
    if (file !== null) sent.delete(file.path);
  }
  for (const [sentPath, content] of sent) form.append('files', new Blob([content]), sentPath);
  return {
    name,
    form,
    leftOut,
    outside: bundle?.outside ?? [],
    bundledBytes: bundle?.code.byteLength ?? null,
    explained: (error) => (bundle === null ? error : explained(error, bundle)),
  };
}

async function bundled(
  path: string,
  { files, isFile, manifest: file }: SourceTree,
  manifest: Manifest | null,
  options: ProjectOptions,
  client: Client,
): Promise<Bundle | null> {
  const main = manifest?.main ?? defaultMain(files, packageMain(files));
  // What is missing, the gateway tells.
  if (main === undefined || !files.has(plainPath(main))) return null;
  const nodeEnv = manifest?.vars.NODE_ENV;
  // A project that names its base asks for what that shares; any other brings what it imports.
  const base = options.base ?? rawManifest(file)?.hearth?.base;
  return await bundleProject({
    directory: isFile ? dirname(path) : path,
    main: plainPath(main),
    sent: (input) => files.has(input),
    nodeEnv: typeof nodeEnv === 'string' ? nodeEnv : 'production',
    shared: base === undefined ? new Map() : await sharedBy(base, client),
    inspect: options.inspect,
  });
}

/** Specifier → version. */
async function sharedBy(base: string, client: Client): Promise<Map<string, string>> {
  try {
    const { libraries } = await client.call<{ libraries: { specifier: string; version: string }[] }>(
      'GET',
      `/v1/bases/${segment(base)}`,
    );
    return new Map(libraries.map(({ specifier, version }) => [specifier, version]));
  } catch (error) {
    // A token that may only deploy cannot ask, and the deploy tells of a base that is not there.
    if (error instanceof ApiFailure && ['FORBIDDEN', 'NOT_FOUND'].includes(error.problem.code)) return new Map();
    throw error;
  }
}

/** Beside a bundle, these are never read. */
function isUseless(path: string): boolean {
  return (
    /\.(d\.)?[cm]?tsx?$|(^|\/)(package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|bun\.lockb?)$/.test(
      path,
    ) || /\.(test|spec)\.[cm]?jsx?$/.test(path)
  );
}

function packageMain(files: SourceTree['files']): unknown {
  const text = files.get('package.json');
  if (text === undefined) return undefined;
  try {
    return (JSON.parse(new TextDecoder().decode(text)) as { main?: unknown } | null)?.main;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** The manifest as it has to be for this upload; null: as it stands. Its own text was checked before. */
function changedManifest(
  { manifest }: SourceTree,
  bundle: Bundle | null,
  base: string | undefined,
): { path: string; text: string } | null {
  if (bundle === null && base === undefined) return null;
  const before = rawManifest(manifest);
  const after = {
    ...before,
    ...(bundle === null ? {} : { main: bundle.path }),
    ...(base === undefined ? {} : { hearth: { ...before?.hearth, base } }),
  };
  // Its name tells which dialect it is.
  const dialect = manifest?.path.startsWith('wrangler.') ? 'wrangler' : 'hearth';
  return { path: `${dialect}.json`, text: JSON.stringify(after) };
}

/** As it was written, without defaults. It was checked before. */
function rawManifest(file: SourceTree['manifest']): { hearth?: { base?: string } } | null {
  if (file === null) return null;
  return (file.path.endsWith('.toml') ? parseToml(file.text) : parseJsonc(file.text)) as { hearth?: { base?: string } };
}

function explained(error: unknown, bundle: Bundle): unknown {
  if (!(error instanceof ApiFailure) || error.problem.errors === undefined) return error;
  const errors = error.problem.errors.map(bundle.origin);
  return new ApiFailure({ ...error.problem, errors });
}
