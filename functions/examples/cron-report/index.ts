import type { ExecutionContext, Fetcher, KVNamespace, ScheduledController } from 'hearth';

interface Env {
  REPORT: KVNamespace;
  TARGET: Fetcher;
  KEEP_RUNS: string;
}

interface Run {
  /** When the run was due, not when it came to it: gaps in the schedule stay visible. */
  dueAt: string;
  ok: boolean;
  status: number | null;
  durationMs: number;
}

interface Report {
  runs: number;
  failures: number;
  /** Newest first. */
  recent: Run[];
}

const EMPTY: Report = { runs: 0, failures: 0, recent: [] };

export default {
  async scheduled(controller: ScheduledController, env: Env, ctx: ExecutionContext): Promise<void> {
    const run = await check(env.TARGET, new Date(controller.scheduledTime), ctx);
    const report = (await env.REPORT.get<Report>('report', 'json')) ?? EMPTY;
    const next: Report = {
      runs: report.runs + 1,
      failures: report.failures + (run.ok ? 0 : 1),
      recent: [run, ...report.recent].slice(0, Number(env.KEEP_RUNS)),
    };
    await env.REPORT.put('report', JSON.stringify(next));
  },

  async fetch(_request: Request, env: Env): Promise<Response> {
    const report = (await env.REPORT.get<Report>('report', 'json')) ?? EMPTY;
    const availability = report.runs === 0 ? null : 1 - report.failures / report.runs;
    return Response.json({ availability, ...report }, { headers: { 'cache-control': 'no-store' } });
  },
};

async function check(target: Fetcher, due: Date, ctx: ExecutionContext): Promise<Run> {
  const begun = performance.now();
  let status: number | null = null;
  try {
    const response = await target.fetch('http://target/', {
      signal: AbortSignal.any([ctx.signal, AbortSignal.timeout(5000)]),
    });
    await response.body?.cancel();
    status = response.status;
  } catch (error) {
    ctx.log.warn('the target did not answer', error);
  }
  const ok = status !== null && status < 500;
  return { dueAt: due.toISOString(), ok, status, durationMs: Math.round(performance.now() - begun) };
}
