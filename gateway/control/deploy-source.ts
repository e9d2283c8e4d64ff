/** What a deploy consists of, checked: its tree, its manifest, and whether the code handles what the manifest triggers. */
import { checkPaths, manifestFileOf, type Tree } from '../../functions/build/tree.ts';
import { HearthError } from '../../functions/contract/errors.ts';
import type { Manifest } from '../../functions/contract/manifest.ts';
import { parseManifest, parseManifestValue } from '../../functions/contract/manifest-file.ts';
import type { VersionRecord } from '../store/api/registry.ts';
import type { Upload } from './upload.ts';

/** The manifest given with the upload, or the first one that stands in the tree, or what an empty one means. */
export function manifestOf(upload: Upload, files: Tree, name: string): Manifest {
  const manifest = parsedManifest(upload, files, name);
  const { label, settings = manifest.hearth } = upload;
  return { ...manifest, hearth: label === undefined ? settings : { ...settings, label } };
}

function parsedManifest({ manifest }: Upload, files: Tree, name: string): Manifest {
  if (manifest.kind === 'value') return parseManifestValue(manifest.value, name);
  if (manifest.kind === 'text') return parseManifest(manifest.text, manifest.fileName, name);
  const fileName = manifestFileOf(files);
  if (fileName === undefined) return parseManifestValue({}, name);
  return parseManifest(new TextDecoder().decode(files.get(fileName)), fileName, name);
}

/** Throws BAD_REQUEST for a path that may not stand in a tree. */
export function treeOf({ files, assets }: Upload): Tree {
  const tree = new Map<string, Uint8Array>();
  for (const { path, bytes } of files) {
    // As find and tar write it.
    const plain = path.replace(/^(\.\/)+/, '');
    if (tree.has(plain)) throw new HearthError('BAD_REQUEST', `The deploy holds ${JSON.stringify(plain)} twice.`);
    tree.set(plain, bytes);
  }
  // Assets alone may come without any code.
  const problem = tree.size === 0 && assets !== undefined ? null : checkPaths(tree.keys());
  if (problem !== null) throw new HearthError('BAD_REQUEST', problem);
  return tree;
}

/** What the manifest triggers, the code has to handle: found out here, not at the first tick. */
export function requireHandlers(manifest: Manifest, handlers: VersionRecord['handlers']): void {
  if (manifest.triggers.crons.length > 0 && !handlers.includes('scheduled')) {
    throw invalidManifest('triggers.crons', 'The manifest has crons, but the code exports no scheduled handler.');
  }
  if (manifest.queues.consumers.length > 0 && !handlers.includes('queue')) {
    throw invalidManifest('queues.consumers', 'The manifest consumes a queue, but the code exports no queue handler.');
  }
}

export function invalidManifest(path: string, message: string): HearthError {
  return new HearthError('MANIFEST_INVALID', message, { errors: [{ path, message }] });
}
