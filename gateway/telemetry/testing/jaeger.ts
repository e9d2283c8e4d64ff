/** A real tracing backend for tests: Jaeger's all-in-one (infra/tracing/build.sh), on free loopback ports, in memory. */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';

export interface JaegerSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string | null;
  name: string;
  /** Microseconds since the epoch. */
  startUs: number;
  durationUs: number;
  tags: Record<string, string | number | boolean>;
  /** References that are not the parent. */
  links: { traceId: string; spanId: string }[];
}

export interface Jaeger extends AsyncDisposable {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly otlpUrl: string;
  /** The page and the query API. */
  readonly queryUrl: string;
  /**
   * The spans of the trace that holds this invocation, parents before children. Asks until `complete` holds for them;
   * rejects after `deadlineMs`.
   */
  findByInvocationId(
    invocationId: string,
    options?: { service?: string; deadlineMs?: number; complete?: (spans: JaegerSpan[]) => boolean },
  ): Promise<JaegerSpan[]>;
  stop(): Promise<void>;
}

/** Why tests with Jaeger are skipped when it is not there. */
export const NO_JAEGER = 'no jaeger: run infra/tracing/build.sh (needs Go), or put jaeger-all-in-one on PATH';

/** Where the binary is: `.bin/jaeger` of this checkout, or jaeger-all-in-one on PATH. */
export function findJaeger(): string | null {
  const root = join(import.meta.dirname, '../../..');
  const candidates = [
    join(root, '.bin', 'jaeger'),
    ...(process.env.PATH ?? '').split(delimiter).map((directory) => join(directory, 'jaeger-all-in-one')),
  ];
  return candidates.find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const ANY_PORT = '127.0.0.1:0';

/** Each listener takes a free port and says in the log which; those nobody asks are only kept off their usual ports. */
const FLAGS = [
  `--admin.http.host-port=${ANY_PORT}`,
  `--collector.grpc-server.host-port=${ANY_PORT}`,
  `--collector.http-server.host-port=${ANY_PORT}`,
  `--collector.otlp.grpc.host-port=${ANY_PORT}`,
  `--collector.otlp.http.host-port=${ANY_PORT}`,
  `--query.http-server.host-port=${ANY_PORT}`,
  // Written otherwise, since equal text is refused as the same port twice.
  '--query.grpc-server.host-port=127.0.0.1:00',
  '--memory.max-traces=100000',
];

export async function startJaeger(binary: string): Promise<Jaeger> {
  const child = spawn(binary, FLAGS, {
    env: { SPAN_STORAGE_TYPE: 'memory', PATH: process.env.PATH ?? '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const killNow = () => void child.kill('SIGKILL');
  process.once('exit', killNow);
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  async function stop(): Promise<void> {
    process.off('exit', killNow);
    // Its traces are in memory only, and its own drain takes seconds.
    killNow();
    await ended;
  }
  try {
    const { otlp, query } = await addresses(child, ended);
    return {
      otlpUrl: `http://${otlp}`,
      queryUrl: `http://${query}`,
      findByInvocationId: (id, options = {}) => findByInvocationId(`http://${query}`, id, options),
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

const logLine = z.object({
  msg: z.string(),
  endpoint: z.string().optional(),
  http_addr: z.string().optional(),
  status: z.string().optional(),
});

/** Reads the log until both addresses are known and Jaeger says that it is ready. */
async function addresses(child: ChildProcess, ended: Promise<void>): Promise<{ otlp: string; query: string }> {
  if (child.stdout === null || child.stderr === null) throw new Error('Jaeger has no output to read.');
  const seen: string[] = [];
  const found = new Promise<{ otlp: string; query: string }>((resolve) => {
    let otlp: string | undefined;
    let query: string | undefined;
    let ready = false;
    function read(text: string): void {
      if (seen.length < 200) seen.push(text);
      if (!text.startsWith('{')) return;
      const line = logLine.parse(JSON.parse(text));
      if (line.msg === 'Starting HTTP server' && line.endpoint !== undefined) otlp = line.endpoint;
      if (line.msg === 'Query server started') query = line.http_addr;
      if (line.status === 'ready') ready = true;
      if (ready && otlp !== undefined && query !== undefined) resolve({ otlp, query });
    }
    // Both go on being read afterwards: a full pipe would stop Jaeger.
    for (const output of [child.stdout, child.stderr]) {
      if (output !== null) createInterface({ input: output }).on('line', read);
    }
  });
  const failed = ended.then(() => {
    throw new Error(`Jaeger ended before it was ready:\n${seen.join('\n')}`);
  });
  return await Promise.race([found, failed]);
}

const traceList = z.object({
  data: z
    .array(
      z.object({
        spans: z.array(
          z.object({
            traceID: z.string(),
            spanID: z.string(),
            operationName: z.string(),
            references: z.array(z.object({ refType: z.string(), traceID: z.string(), spanID: z.string() })),
            startTime: z.number(),
            duration: z.number(),
            tags: z.array(z.object({ key: z.string(), value: z.union([z.string(), z.number(), z.boolean()]) })),
          }),
        ),
      }),
    )
    .nullable(),
});

async function findByInvocationId(
  queryUrl: string,
  invocationId: string,
  {
    service = 'hearth',
    deadlineMs = 20_000,
    complete = (spans) => spans.length > 0,
  }: NonNullable<Parameters<Jaeger['findByInvocationId']>[1]>,
): Promise<JaegerSpan[]> {
  const query = new URLSearchParams({
    service,
    tags: JSON.stringify({ 'faas.invocation_id': invocationId }),
    lookback: 'custom',
    // Tests invent times: everything Jaeger holds is asked for.
    start: '0',
    end: String(Date.UTC(2100, 0) * 1000),
    limit: '10',
  });
  const deadline = AbortSignal.timeout(deadlineMs);
  let last: JaegerSpan[] = [];
  while (!deadline.aborted) {
    const response = await fetch(`${queryUrl}/api/traces?${query}`);
    const body: unknown = await response.json();
    if (!response.ok) throw new Error(`Jaeger answered ${response.status}: ${JSON.stringify(body)}`);
    last = (traceList.parse(body).data ?? []).flatMap((trace) => trace.spans.map(toSpan)).sort(byTime);
    if (complete(last)) return last;
    // A backend of someone else tells nobody when a span has become searchable.
    await delay(50);
  }
  const names = last.map((span) => span.name).join(', ') || 'nothing';
  throw new Error(`Jaeger has for invocation ${invocationId} after ${deadlineMs} ms: ${names}.`);
}

type RawSpan = NonNullable<z.infer<typeof traceList>['data']>[number]['spans'][number];

function toSpan(raw: RawSpan): JaegerSpan {
  const parent = raw.references.find((reference) => reference.refType === 'CHILD_OF');
  return {
    traceId: raw.traceID,
    spanId: raw.spanID,
    parentSpanId: parent?.spanID ?? null,
    name: raw.operationName,
    startUs: raw.startTime,
    durationUs: raw.duration,
    tags: Object.fromEntries(raw.tags.map(({ key, value }) => [key, value])),
    links: raw.references
      .filter((reference) => reference !== parent)
      .map((reference) => ({ traceId: reference.traceID, spanId: reference.spanID })),
  };
}

function byTime(a: JaegerSpan, b: JaegerSpan): number {
  return a.startUs - b.startUs || b.durationUs - a.durationUs;
}
