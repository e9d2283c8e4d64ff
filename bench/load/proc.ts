/** What /proc says of a process: its CPU time, its memory, its descendants. */
import { readdirSync, readFileSync } from 'node:fs';

/** Ticks of /proc/PID/stat: USER_HZ is 100 on every Linux that Node runs on. */
const MS_PER_TICK = 10;
/** On the machines Node runs on; arm64 kernels with larger pages would show too little memory here. */
const PAGE_BYTES = 4096;

interface Stat {
  parent: number;
  cpuMs: number;
}

/** A process and all its descendants, itself first; empty when it is gone or there is no /proc. */
export function tree(pid: number): number[] {
  const stats = allStats();
  const belongs = (each: number): boolean => {
    if (each === pid) return true;
    const parent = stats.get(each)?.parent;
    return parent !== undefined && parent > 1 && belongs(parent);
  };
  return [...stats.keys()].filter(belongs).sort((a, b) => Number(b === pid) - Number(a === pid));
}

/** CPU time in ms of a process and all its descendants so far; null where there is no /proc. */
export function treeCpuMs(pid: number): number | null {
  const stats = allStats();
  const pids = tree(pid);
  return pids.length === 0 ? null : pids.reduce((sum, each) => sum + (stats.get(each)?.cpuMs ?? 0), 0);
}

/** Resident memory; null when the process is gone. */
export function rssBytes(pid: number): number | null {
  const line = read(`/proc/${pid}/statm`);
  return line === null ? null : Number(line.split(' ')[1]) * PAGE_BYTES;
}

/** Resident memory with shared pages divided among who shares them; null when the process is gone. Takes milliseconds. */
export function pssBytes(pid: number): number | null {
  const kilobytes = /^Pss:\s+(\d+) kB/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1];
  return kilobytes === undefined ? null : Number(kilobytes) * 1024;
}

function allStats(): Map<number, Stat> {
  let pids: number[];
  try {
    pids = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return new Map();
  }
  return new Map(
    pids.flatMap((each) => {
      const stat = readStat(each);
      return stat === null ? [] : [[each, stat] as const];
    }),
  );
}

function readStat(pid: number): Stat | null {
  const line = read(`/proc/${pid}/stat`);
  if (line === null) return null;
  // The name stands in brackets and may hold anything; fields count from behind it: state, ppid, … utime, stime.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  return { parent: Number(fields[1]), cpuMs: (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK };
}

/** Null when the process has just ended. */
function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
