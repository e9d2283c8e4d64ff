/**
 * What a pool holds of the machine, as the kernel counts it: processes, threads, sockets, open files, and the timers of
 * this process. Counted before something happens and after it; what stands in the pool's own snapshot is taken off, so
 * that a base more or less in stock makes no difference and a thread without a base does.
 */
import assert from 'node:assert/strict';
import { createHook } from 'node:async_hooks';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

export interface Belongings {
  /** Below the one that was asked about, hosts in the snapshot apart. */
  processes: number;
  /** Of the one that was asked about. */
  threads: number;
  /** Threads of hosts that no base in the snapshot lives in. */
  workers: number;
  /** Unix ones of the one that was asked about (clients of its ports come and go), and all of its hosts, but for those
   * by which they speak with one another. */
  sockets: number;
  /** Files and directories that hosts have open. */
  files: number;
}

/** Of `GET /v1/pool` and of the keeper's snapshot. */
export interface Hosts {
  hosts: readonly { pid: number | null; bases: readonly { state: string }[] }[];
}

/** Standard output, standard error and the channel, each a pair of sockets. */
const SOCKETS_OF_HOST = 3;
/** A thread that was told to end, a host that is gone, stock that is on its way: all of it takes a moment. */
const SETTLE_MS = 30_000;
const POLL_MS = 20;

/** Null: the pool is changing just now. `pid` is the process that the hosts are children of. */
export function belongings(pid: number, { hosts }: Hosts): Belongings | null {
  const bases = hosts.flatMap((host) => host.bases);
  if (bases.some(({ state }) => state !== 'warm' && state !== 'leased')) return null;
  const pids = hosts.map((host) => host.pid);
  if (pids.includes(null)) return null;
  const held = pids.map((each) => descriptors(each as number));
  const sum = (counts: number[]) => counts.reduce((total, count) => total + count, 0);
  return {
    processes: children(pid).length - hosts.length,
    threads: tasks(pid).length,
    workers:
      sum(pids.map((each) => tasks(each as number).filter((name) => name === 'WorkerThread').length)) - bases.length,
    sockets:
      descriptors(pid).unixSockets +
      sum(held.map(({ sockets }) => sockets)) -
      2 * (SOCKETS_OF_HOST * hosts.length + bases.length),
    files: sum(held.map(({ files }) => files)),
  };
}

/** Resolves with what there is once the pool stands still. */
export async function belongingsAtRest(pid: number, look: () => Hosts | Promise<Hosts>): Promise<Belongings> {
  const until = performance.now() + SETTLE_MS;
  for (let before: Belongings | null = null; ; ) {
    const now = belongings(pid, await look());
    if (now !== null && JSON.stringify(now) === JSON.stringify(before)) return now;
    if (performance.now() > until) throw new Error(`The pool does not come to rest: ${JSON.stringify(before)}`);
    before = now;
    await delay(POLL_MS);
  }
}

/** Resolves once nothing is there that was not there before; fails with the difference when something stays. */
export async function nothingLeft(pid: number, look: () => Hosts | Promise<Hosts>, before: Belongings): Promise<void> {
  const until = performance.now() + SETTLE_MS;
  for (;;) {
    const now = belongings(pid, await look());
    if (
      now !== null &&
      Object.keys(now).every((key) => now[key as keyof Belongings] <= before[key as keyof Belongings])
    )
      return;
    if (performance.now() > until) assert.deepEqual(now, before, 'something was left behind');
    await delay(POLL_MS);
  }
}

/** The timers of this process that are set, unreferenced ones as well, since this was made. */
export class Timers implements Disposable {
  readonly #set = new Map<number, string>();
  readonly #hook = createHook({
    init: (id, type, _trigger, resource) => {
      if (type === 'Timeout') this.#set.set(id, `${(resource as { _idleTimeout?: number })._idleTimeout} ms`);
    },
    destroy: (id) => {
      this.#set.delete(id);
    },
  }).enable();

  /** Resolves once all that were set meanwhile have fired or been cleared. */
  async allGone(): Promise<void> {
    const until = performance.now() + SETTLE_MS;
    for (;;) {
      const left = [...this.#set.values()];
      if (left.length === 0) return;
      if (performance.now() > until) assert.deepEqual(left, [], 'timers were left behind');
      // Not a timer: it would count itself.
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  [Symbol.dispose](): void {
    this.#hook.disable();
  }
}

function tasks(pid: number): string[] {
  return list(`/proc/${pid}/task`).map((task) => read(`/proc/${pid}/task/${task}/comm`).trim());
}

function children(pid: number): string[] {
  return list(`/proc/${pid}/task`).flatMap((task) =>
    read(`/proc/${pid}/task/${task}/children`)
      .split(' ')
      .filter((child) => child !== ''),
  );
}

function descriptors(pid: number): { sockets: number; unixSockets: number; files: number } {
  const unix = new Set(
    read('/proc/self/net/unix')
      .split('\n')
      .map((line) => line.trim().split(/\s+/)[6]),
  );
  let sockets = 0;
  let unixSockets = 0;
  let files = 0;
  for (const fd of list(`/proc/${pid}/fd`)) {
    const target = link(`/proc/${pid}/fd/${fd}`);
    if (target.startsWith('socket:')) {
      sockets++;
      if (unix.has(target.slice('socket:['.length, -1))) unixSockets++;
    } else if (target.startsWith('/') && !target.startsWith('/dev/')) files++;
  }
  return { sockets, unixSockets, files };
}

/** What has just ended has nothing any more. */
function unlessGone<Value>(look: () => Value, nothing: Value): Value {
  try {
    return look();
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return nothing;
    throw error;
  }
}

const list = (directory: string) => unlessGone(() => readdirSync(directory), []);
const read = (file: string) => unlessGone(() => readFileSync(file, 'utf8'), '');
const link = (file: string) => unlessGone(() => readlinkSync(file), '');
