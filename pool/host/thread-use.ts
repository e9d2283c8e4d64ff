/** The threads of this process that bases live in: what they use, as /proc knows it, and how far they stand back. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { NicenessJudge, type ThreadUse } from './niceness.ts';

const TASKS = '/proc/self/task';

/** How often threads are looked at, ms, and the CPU time of all together in that time below which none is. */
const LOOK_MS = 250;
const LEAST_CPU_MS = LOOK_MS / 10;
/** Of threads that compute: the least share of a core there is. */
const COMPUTING_NICENESS = 19;

/** Where the kernel keeps the niceness of a whole session (sched(7), autogroups). */
const SESSION = '/proc/self/autogroup';

/**
 * From now on threads that compute stand back. Measured on two cores: a neighbour's p99 beside a function that burns
 * turns of 40 ms was twice what it is alone, and is about the same with this; the burner got as much done.
 */
export function letComputingStandBack(niceness: number, ownSession: boolean): void {
  const judge = new NicenessJudge();
  if (ownSession) sessionStands(niceness);
  let lookedAt = performance.now();
  let cpu = process.cpuUsage();
  let wasQuiet = true;
  setInterval(() => {
    const used = process.cpuUsage(cpu);
    const now = performance.now();
    const sinceMs = now - lookedAt;
    lookedAt = now;
    cpu = process.cpuUsage();
    const quiet = (used.user + used.system) / 1000 < LEAST_CPU_MS;
    // One look more when it has become quiet: who computed until then may be told to come back.
    if (!quiet || !wasQuiet) {
      const before = judge.computing;
      for (const verdict of judge.look(baseThreads(), sinceMs)) stand(verdict, niceness);
      // Between sessions the niceness of threads says nothing: what else is in this host stands back with the one.
      const { computing } = judge;
      if (ownSession && computing !== before) sessionStands(computing ? COMPUTING_NICENESS : niceness);
    }
    wasQuiet = quiet;
  }, LOOK_MS).unref();
}

function stand({ tid, computes }: { tid: number; computes: boolean }, niceness: number): void {
  try {
    setPriority(tid, computes ? COMPUTING_NICENESS : niceness);
  } catch {
    // It has ended; or it may not come back, as only some users may raise a priority: then it stands back while others
    // want to run, until its base goes.
  }
}

/** Of the whole process and what else is in its session; nothing where the kernel keeps no such groups. */
function sessionStands(niceness: number): void {
  try {
    writeFileSync(SESSION, String(niceness));
  } catch {
    // No autogroups here; or told too often within a second, and then the next change tells it.
  }
}

/** Empty where there is no /proc. */
function baseThreads(): ThreadUse[] {
  let tids: string[];
  try {
    tids = readdirSync(TASKS);
  } catch {
    return [];
  }
  return tids.flatMap((tid) => {
    try {
      const status = readFileSync(`${TASKS}/${tid}/status`, 'latin1');
      if (!status.startsWith('Name:\tWorkerThread')) return [];
      const waits = /^voluntary_ctxt_switches:\t(\d+)/m.exec(status)?.[1];
      const cpuNs = readFileSync(`${TASKS}/${tid}/schedstat`, 'latin1').split(' ')[0];
      return [{ tid: Number(tid), cpuMs: Number(cpuNs) / 1e6, waits: Number(waits) }];
    } catch {
      return []; // it has ended meanwhile
    }
  });
}
