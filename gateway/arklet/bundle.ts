/**
 * What a bizUrl leads to, read into what a deploy takes: one source file, or an archive of a source folder. An archive may
 * say itself which biz it is, as a jar does in its META-INF/MANIFEST.MF and an npm package in its package.json.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import { MAX_DEPLOY_FILES } from '../../functions/contract/limits.ts';
import type { Upload, UploadFile } from '../control/upload.ts';
import { readTgz } from './tar.ts';
import { type ArchiveFile, type ArchiveLimits, readZip } from './zip.ts';

export interface Bundle {
  upload: Upload;
  /** What it says of itself; null: nothing, or not all of it. */
  identity: { bizName: string; bizVersion: string } | null;
  /** Of a batch, the lower ones are installed first; arklet's default is 100. */
  priority: number;
}

const DEFAULT_PRIORITY = 100;
const JAR_MANIFEST = 'META-INF/MANIFEST.MF';
const SOURCE = /\.(ts|mts|cts|tsx|js|mjs|cjs|jsx)$/;
/** `shop-1.2.0.tgz`, as `npm pack` and Maven name what they make. */
const NAME_AND_VERSION = /^([a-z][a-z0-9-]*?)-(\d[\w.+-]*)$/;

/** Archives a directory is searched for; whatever else stands there is left alone. */
export function isArchiveName(fileName: string): boolean {
  return /\.(jar|zip|tgz|tar\.gz)$/i.test(fileName);
}

/** `fileName`: the last part of the URL's path. Throws BAD_REQUEST and PAYLOAD_TOO_LARGE. */
export async function openBundle(bytes: Buffer, fileName: string, mostBytes: number): Promise<Bundle> {
  const limits: ArchiveLimits = { mostBytes, mostFiles: MAX_DEPLOY_FILES };
  if (isZip(bytes)) return bundleOf(await readZip(bytes, limits), fileName);
  if (isGzip(bytes)) return bundleOf(await readTgz(bytes, limits), fileName);
  const extension = SOURCE.exec(fileName)?.[0];
  if (extension === undefined) {
    throw new HearthError(
      'BAD_REQUEST',
      `${JSON.stringify(fileName)} is neither a .zip, .jar or .tgz archive nor a source file such as .ts or .js.`,
    );
  }
  if (bytes.length === 0) throw new HearthError('BAD_REQUEST', `${JSON.stringify(fileName)} is empty.`);
  return {
    upload: { files: [{ path: `index${extension}`, bytes }], manifest: { kind: 'none' } },
    identity: identityOfName(fileName),
    priority: DEFAULT_PRIORITY,
  };
}

function isZip(bytes: Buffer): boolean {
  const head = bytes.toString('latin1', 0, 4);
  return head === 'PK\x03\x04' || head === 'PK\x05\x06';
}

function isGzip(bytes: Buffer): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

function bundleOf(found: ArchiveFile[], fileName: string): Bundle {
  const jarManifest = found.find(({ path }) => path === JAR_MANIFEST);
  const attributes = jarManifest === undefined ? new Map<string, string>() : attributesOf(jarManifest.bytes);
  const files = withoutTop(found.filter(({ path }) => !/^(META-INF|__MACOSX)\//.test(path)));
  if (files.length === 0) throw new HearthError('BAD_REQUEST', 'The archive holds no file.');
  const priority = Number(attributes.get('priority') ?? DEFAULT_PRIORITY);
  return {
    upload: { files, manifest: { kind: 'none' } },
    identity: identityOfJar(attributes) ?? identityOfPackage(files) ?? identityOfName(fileName),
    priority: Number.isFinite(priority) ? priority : DEFAULT_PRIORITY,
  };
}

/** Archives of a folder hold the folder: `package/` of npm, `shop-1.2.0/` of a repository. It is taken off. */
function withoutTop(files: ArchiveFile[]): UploadFile[] {
  const plain = files.map(({ path, bytes }) => ({ path: path.replace(/^(\.\/)+/, ''), bytes }));
  const top = /^[^/]+\//.exec(plain[0]?.path ?? '')?.[0];
  if (top === undefined || top === '../' || !plain.every(({ path }) => path.startsWith(top))) return plain;
  // A tree whose main file stands in src/ is no folder in a folder.
  if (top === 'src/') return plain;
  return plain.map(({ path, bytes }) => ({ path: path.slice(top.length), bytes }));
}

/** The main section of a jar's manifest. Lines are cut after 72 bytes; what goes on begins with a space. */
function attributesOf(bytes: Uint8Array): Map<string, string> {
  const [main = ''] = new TextDecoder().decode(bytes).replaceAll(/\r\n?/g, '\n').split(/\n\n/, 1);
  const attributes = new Map<string, string>();
  for (const line of main.replaceAll('\n ', '').split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) attributes.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return attributes;
}

function identityOfJar(attributes: ReadonlyMap<string, string>): Bundle['identity'] {
  return identity(attributes.get('ark-biz-name'), attributes.get('ark-biz-version'));
}

function identityOfPackage(files: readonly UploadFile[]): Bundle['identity'] {
  const found = files.find(({ path }) => path === 'package.json');
  if (found === undefined) return null;
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(found.bytes));
    if (typeof value !== 'object' || value === null) return null;
    const { name, version } = value as { name?: unknown; version?: unknown };
    // The scope of a package is whose it is, not what it is called.
    return identity(typeof name === 'string' ? name.replace(/^@[^/]*\//, '') : undefined, version);
  } catch (error) {
    // Whether it has to be right is the builder's to say.
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function identityOfName(fileName: string): Bundle['identity'] {
  const stem = fileName.replace(/\.(tar\.gz|[a-z]+)$/i, '').replace(/-ark-biz$/, '');
  const [, name, version] = NAME_AND_VERSION.exec(stem) ?? [];
  return identity(name, version);
}

function identity(bizName: unknown, bizVersion: unknown): Bundle['identity'] {
  if (typeof bizName !== 'string' || typeof bizVersion !== 'string' || bizName === '' || bizVersion === '') return null;
  return { bizName, bizVersion };
}
