import { readdirSync, readFileSync } from 'node:fs';

/** Ticks of /proc/PID/stat: USER_HZ is 100 on every Linux that Node runs on. */
const MS_PER_TICK = 10;

interface Stat {
  parent: number;
  cpuMs: number;
}

/** CPU time in ms of a process and all its descendants so far, from /proc; null where there is no /proc. */
export function treeCpuMs(pid: number): number | null {
  let pids: number[];
  try {
    pids = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return null;
  }
  const stats = new Map(
    pids.flatMap((each) => {
      const stat = readStat(each);
      return stat === null ? [] : [[each, stat] as const];
    }),
  );
  const belongs = (each: number): boolean => {
    if (each === pid) return true;
    const parent = stats.get(each)?.parent;
    return parent !== undefined && parent > 1 && belongs(parent);
  };
  return [...stats].filter(([each]) => belongs(each)).reduce((sum, [, { cpuMs }]) => sum + cpuMs, 0);
}

/** Null when the process has just ended. */
function readStat(pid: number): Stat | null {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name stands in brackets and may hold anything; fields count from behind it: state, ppid, … utime, stime.
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
    return { parent: Number(fields[1]), cpuMs: (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK };
  } catch {
    return null;
  }
}
