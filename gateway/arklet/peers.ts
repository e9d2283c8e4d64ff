/**
 * Who is at the other end of a loopback connection, for HEARTH_ARKLET_TOKEN=off: any program of this machine but the
 * hosts, whose functions reach loopback too and would otherwise be operators. Linux only: it is read from /proc.
 *
 * A connection is taken when its socket is found before and after the hosts were searched, and they do not hold it: a
 * host that ends itself in the middle of the search takes its socket along.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import type { Socket } from 'node:net';

/** `hosts`: processes that run functions. Their children count as they do. */
export async function isFromOutside(socket: Socket, hosts: () => readonly number[]): Promise<boolean> {
  const { remoteAddress, remotePort, localPort } = socket;
  if (remoteAddress === undefined || remotePort === undefined || localPort === undefined) return false;
  const inode = await inodeOf(remotePort, localPort);
  if (inode === null) return false;
  for (const pid of hosts()) if (await holds(pid, `socket:[${inode}]`)) return false;
  return (await inodeOf(remotePort, localPort)) === inode;
}

const ESTABLISHED = '01';
/** As /proc has them: 127.0.0.1, its IPv6 form, and ::1. */
const LOOPBACK = /^(?:[\dA-F]{6}7F|0{16}FFFF0000[\dA-F]{6}7F|0{24}01000000)$/;

/** Of the client's end of a loopback connection; null when there is none, or nobody holds it any more. */
async function inodeOf(clientPort: number, serverPort: number): Promise<string | null> {
  const tables = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map(read));
  for (const line of tables.join('\n').split('\n')) {
    // sl, local, remote, state, queues, timers, retransmits, uid, timeout, inode
    const [, local = '', remote = '', state, , , , , , inode] = line.trim().split(/\s+/);
    if (state !== ESTABLISHED || inode === undefined || inode === '0') continue;
    if (isLoopback(local, clientPort) && isLoopback(remote, serverPort)) return inode;
  }
  return null;
}

function isLoopback(end: string, port: number): boolean {
  const [address = '', hex = ''] = end.split(':');
  return LOOPBACK.test(address) && Number.parseInt(hex, 16) === port;
}

/** Whether the process or one below it has this open. What cannot be looked into counts as if it had. */
async function holds(pid: number, target: string): Promise<boolean> {
  try {
    const descriptors = await readdir(`/proc/${pid}/fd`);
    const targets = await Promise.all(descriptors.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(closed)));
    if (targets.includes(target)) return true;
    for (const task of await readdir(`/proc/${pid}/task`)) {
      const children = (await readFile(`/proc/${pid}/task/${task}/children`, 'utf8').catch(closed)).trim();
      for (const child of children === '' ? [] : children.split(' ')) {
        if (await holds(Number(child), target)) return true;
      }
    }
    return false;
  } catch (error) {
    return !isGone(error);
  }
}

/** Ended, or closed, while it was looked at. */
function closed(error: unknown): string {
  if (isGone(error)) return '';
  throw error;
}

function isGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ESRCH';
}

function read(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(closed);
}
