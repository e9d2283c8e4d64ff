/** Calls one URL over and over: so many at once as fast as they are answered, or at a rate, however slow the answers are. */
import { once } from 'node:events';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { setTimeout as wait } from 'node:timers/promises';

export interface LoadOptions {
  url: URL;
  method: string;
  headers: Record<string, string[]>;
  body: string | undefined;
  /** Calls in flight at most. */
  connections: number;
  seconds: number;
  /** Calls a second; null: as many as are answered. With a rate, the wait for a free connection counts as latency. */
  rate: number | null;
  signal: AbortSignal;
}

export interface LoadReport {
  seconds: number;
  /** Those that were answered. */
  requests: number;
  perSecond: number;
  /** Null: nothing was answered. */
  latencyMs: { p50: number; p95: number; p99: number; max: number } | null;
  /** Answers that say `hearth-start: cold`. */
  coldStarts: number;
  /** Answers by status. */
  statuses: Record<string, number>;
  /** Calls without an answer, by reason. */
  errors: Record<string, number>;
}

export async function load(options: LoadOptions): Promise<LoadReport> {
  const { url, connections, seconds, rate, signal } = options;
  const agent = new (url.protocol === 'https:' ? HttpsAgent : HttpAgent)({ keepAlive: true, maxSockets: connections });
  const latencies: number[] = [];
  const statuses: Record<string, number> = {};
  const errors: Record<string, number> = {};
  let coldStarts = 0;
  let begun = 0;
  const beganAt = performance.now();
  const endsAt = beganAt + seconds * 1000;

  async function caller(): Promise<void> {
    while (!signal.aborted) {
      const now = performance.now();
      const dueAt = rate === null ? now : beganAt + (begun++ * 1000) / rate;
      if (Math.max(dueAt, now) >= endsAt) return;
      if (dueAt > now) await wait(dueAt - now, undefined, { signal });
      try {
        const { statusCode = 0, headers } = await answer(options, agent);
        latencies.push(performance.now() - dueAt);
        statuses[statusCode] = (statuses[statusCode] ?? 0) + 1;
        if (headers['hearth-start'] === 'cold') coldStarts++;
      } catch (error) {
        if (signal.aborted) return;
        const reason = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
        errors[reason] = (errors[reason] ?? 0) + 1;
      }
    }
  }

  try {
    await Promise.all(Array.from({ length: connections }, () => caller().catch(unlessAborted(signal))));
  } finally {
    agent.destroy();
  }
  const took = (performance.now() - beganAt) / 1000;
  latencies.sort((a, b) => a - b);
  // Nearest rank.
  const percentile = (percent: number) => latencies[Math.ceil((percent / 100) * latencies.length) - 1] ?? 0;
  return {
    seconds: took,
    requests: latencies.length,
    perSecond: latencies.length / took,
    latencyMs:
      latencies.length === 0
        ? null
        : { p50: percentile(50), p95: percentile(95), p99: percentile(99), max: latencies.at(-1) ?? 0 },
    coldStarts,
    statuses,
    errors,
  };
}

/** Resolves when all of it has come. */
async function answer(options: LoadOptions, agent: HttpAgent): Promise<IncomingMessage> {
  const { url, method, headers, body, signal } = options;
  const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, { method, headers, agent, signal });
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.resume();
  await once(response, 'end');
  return response;
}

function unlessAborted(signal: AbortSignal): (error: unknown) => void {
  return (error) => {
    if (!signal.aborted) throw error;
  };
}
