/** What a deploy sends: one source file, or the files of a directory. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { MANIFEST_FILES } from '../contract/manifest-file.ts';
import { Failure } from './failure.ts';

export interface SourceTree {
  /** It is one file, not a directory. */
  isFile: boolean;
  /** Path with `/` → content. */
  files: Map<string, Uint8Array<ArrayBuffer>>;
  /** Paths that stay at home. */
  leftOut: string[];
  /** The manifest among the files; null: there is none. */
  manifest: { path: string; text: string } | null;
}

/**
 * Left out: `node_modules`, of which bundle.ts takes what is needed; names with a dot in front (`.git`, `.env`,
 * `.hearth`), since there secrets are kept; and symbolic links, which may lead out of the directory.
 * @throws Failure when there is nothing to send.
 */
export async function readSource(path: string): Promise<SourceTree> {
  const isDirectory = await stat(path).then(
    (stats) => stats.isDirectory(),
    (error: unknown) => {
      throw new Failure(`${path} cannot be read: ${(error as Error).message}.`, null, error);
    },
  );
  if (!isDirectory) {
    return { isFile: true, files: new Map([[basename(path), await readFile(path)]]), leftOut: [], manifest: null };
  }

  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const leftOut: string[] = [];
  const walk = async (directory: string, prefix: string): Promise<void> => {
    const entries = await readdir(directory, { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const inTree = prefix + entry.name;
      const onDisk = join(directory, entry.name);
      if (entry.name === 'node_modules' || isHidden(entry.name)) leftOut.push(inTree);
      else if (entry.isDirectory()) await walk(onDisk, `${inTree}/`);
      else if (entry.isFile()) files.set(inTree, await readFile(onDisk));
      else leftOut.push(inTree);
    }
  };
  await walk(path, '');
  if (files.size === 0) throw new Failure(`There is no file to deploy in ${path}.`);

  const manifest = MANIFEST_FILES.find((name) => files.has(name));
  return {
    isFile: false,
    files,
    leftOut,
    manifest: manifest === undefined ? null : { path: manifest, text: new TextDecoder().decode(files.get(manifest)) },
  };
}

/** `.well-known` is there to be served. */
export function isHidden(name: string): boolean {
  return name.startsWith('.') && name !== '.well-known';
}
