/** What is left on the file system of a directory. */
import { statfs } from 'node:fs/promises';

export async function roomIn(directory: string): Promise<{ freeBytes: number; totalBytes: number }> {
  // What only root may take is not for this process, whoever it is.
  const { bavail, blocks, bsize } = await statfs(directory);
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
}
