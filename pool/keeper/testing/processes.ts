/** Which processes there still are, as the kernel tells it. */
import { readFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';

/** Between two looks of `gone`. */
const LOOK_MS = 10;

/** What has ended is not alive, even while nobody has collected it: a host in a sandbox is left to the machine's init. */
export async function alive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  return stat !== null && !/\) [ZX] /.test(stat);
}

/** Resolves once none of these is alive. */
export async function gone(pids: readonly number[]): Promise<void> {
  for (const pid of pids) while (await alive(pid)) await wait(LOOK_MS);
}
