/** A module's own files, in the one directory that its base may read. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { ModuleImage } from './api.ts';

/** Paths were checked at deploy; one that leads out of the directory is refused here again. */
export async function writeModuleFiles(dir: string, files: ModuleImage['files']): Promise<void> {
  for (const file of files) {
    const target = path.join(dir, file.path);
    if (!target.startsWith(dir + path.sep)) throw new Error(`The path ${file.path} leads out of the module.`);
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(target, file.bytes);
  }
}
