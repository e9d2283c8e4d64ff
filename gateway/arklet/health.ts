/**
 * What `health` tells. Its fields are a JVM's; what they stand for here: heap is the gateway's own, metaspace is what the
 * hosts take of HEARTH_MEMORY_MB, since that is where modules live and what a scheduler reads to see whether another one
 * fits; classes are modules that are loaded. What has no such place stands under `hearth`.
 */
import { cpus } from 'node:os';
import { dirname } from 'node:path';
import type { Keeper } from '../../pool/keeper/api.ts';
import { bizInfo } from './biz.ts';
import type { BizInfo, HealthInput } from './protocol.ts';

export interface HealthParts {
  keeper: Pick<Keeper, 'snapshot'>;
  /** What hosts may use together. */
  memoryMb: number;
  /** Hearth's own. */
  version: string;
  /** Whether it takes traffic: false while starting and draining. */
  ready(): boolean;
}

export interface Health {
  /** `biz`: what the caller may see. Null when the one that was asked for is not among them. */
  tell(input: HealthInput, biz: () => Promise<BizInfo[]>): Promise<Record<string, unknown> | null>;
}

const MB = 1024 * 1024;

export function createHealth({ keeper, memoryMb, version, ready }: HealthParts): Health {
  let measured = cpuTimes();

  return {
    async tell({ type, bizName, bizVersion, metrics }, biz) {
      const health: Record<string, unknown> = {};
      const all = type === undefined || type === null || type === '';
      const wants = (metric: string) =>
        metrics === undefined || metrics === null || metrics.length === 0 || metrics.includes(metric);
      if (all) {
        health.masterBizInfo = summary(masterBiz());
        health.masterBizHealth = { readinessState: ready() ? 'ACCEPTING_TRAFFIC' : 'REFUSING_TRAFFIC' };
        health.hearth = pool();
      }
      if (all || type === 'system') {
        if (wants('cpu')) health.cpu = cpu();
        if (wants('jvm')) health.jvm = jvm();
      }
      if (all || type === 'biz') {
        const found = (await biz()).filter(
          (one) => (bizName === '' || one.bizName === bizName) && (bizVersion === '' || one.bizVersion === bizVersion),
        );
        if (bizName !== '' && found.length === 0) return null;
        if (bizName !== '' && bizVersion !== '') health.bizInfo = summary(found[0] as BizInfo);
        else health.bizListInfo = (bizName === '' ? [masterBiz(), ...found] : found).map(summary);
      }
      if (all || type === 'plugin') health.pluginListInfo = [];
      return health;
    },
  };

  function masterBiz(): BizInfo {
    return { ...bizInfo('hearth', version, ready() ? 'ACTIVATED' : 'DEACTIVATED'), webContextPath: '/' };
  }

  function pool(): Record<string, unknown> {
    const { hosts, bases, stock, waiting } = keeper.snapshot();
    return {
      hosts: hosts.map(({ id, state, base, memoryBytes }) => ({ id, state, base, memoryBytes })),
      bases,
      stock,
      waiting,
    };
  }

  function jvm(): Record<string, unknown> {
    const { hosts } = keeper.snapshot();
    const hostBytes = hosts.reduce((sum, { memoryBytes }) => sum + (memoryBytes ?? 0), 0);
    const loaded = hosts.flatMap(({ bases }) => bases).filter((base) => base.function !== null).length;
    const { heapUsed, heapTotal, external, rss } = process.memoryUsage();
    return {
      'java version': `Node.js ${process.version}`,
      'java home': dirname(process.execPath),
      'run time(s)': Math.round(process.uptime() * 1000) / 1000,
      'total memory(M)': rss / MB,
      'max memory(M)': memoryMb,
      'free memory(M)': Math.max(0, memoryMb - hostBytes / MB),
      'used heap memory(M)': heapUsed / MB,
      'committed heap memory(M)': heapTotal / MB,
      'used non heap memory(M)': external / MB,
      'loaded class count': loaded,
      'java used metaspace': hostBytes,
      'java committed metaspace': hostBytes,
      'java max metaspace': memoryMb * MB,
    };
  }

  /** Since the last time somebody asked. */
  function cpu(): Record<string, unknown> {
    const before = measured;
    const now = cpuTimes();
    measured = now;
    const ticks = Math.max(1, now.total - before.total);
    const percent = (part: 'user' | 'system' | 'idle') =>
      Math.round(((now[part] - before[part]) / ticks) * 10_000) / 100;
    return {
      count: now.count,
      type: now.model,
      'user used (%)': percent('user'),
      'system used (%)': percent('system'),
      'total used (%)': Math.round((100 - percent('idle')) * 100) / 100,
      'free (%)': percent('idle'),
    };
  }
}

function summary({ bizName, bizVersion, bizState, webContextPath }: BizInfo): Record<string, string> {
  return { bizName, bizVersion, bizState, webContextPath };
}

/** Milliseconds of all cores together, since the machine started. */
function cpuTimes(): { count: number; model: string; user: number; system: number; idle: number; total: number } {
  const cores = cpus();
  const sum = { user: 0, system: 0, idle: 0, total: 0 };
  for (const { times } of cores) {
    sum.user += times.user + times.nice;
    sum.system += times.sys + times.irq;
    sum.idle += times.idle;
    sum.total += times.user + times.nice + times.sys + times.irq + times.idle;
  }
  return { count: cores.length, model: cores[0]?.model ?? '', ...sum };
}
