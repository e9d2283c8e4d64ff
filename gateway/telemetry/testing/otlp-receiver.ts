/** A real OTLP/HTTP receiver: takes what an exporter sends, decodes the protobuf and keeps it for a test to look at. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import protobuf from 'protobufjs';
import { z } from 'zod';
import { OTLP_SCHEMA } from './otlp-schema.ts';

export type AttributeValue = string | number | boolean;

export interface ReceivedSpan {
  traceId: string;
  spanId: string;
  /** null at the root. */
  parentSpanId: string | null;
  name: string;
  kind: 'internal' | 'server' | 'client' | 'producer' | 'consumer' | 'unspecified';
  /** Nanoseconds since the epoch. */
  startNs: bigint;
  endNs: bigint;
  attributes: Record<string, AttributeValue>;
  links: { traceId: string; spanId: string }[];
  status: { code: 'unset' | 'ok' | 'error'; message: string };
  resource: Record<string, AttributeValue>;
}

export interface ReceivedLog {
  /** Nanoseconds since the epoch. */
  timeNs: bigint;
  severity: string;
  body: string;
  attributes: Record<string, AttributeValue>;
  /** Empty: of no trace. */
  traceId: string;
  spanId: string;
  resource: Record<string, AttributeValue>;
}

export interface ReceivedPoint {
  attributes: Record<string, AttributeValue>;
  /** Of gauges and sums; the sum of a histogram. */
  value: number;
  histogram: { count: number; bounds: number[]; counts: number[] } | null;
}

export interface ReceivedMetric {
  name: string;
  unit: string;
  type: 'gauge' | 'sum' | 'histogram';
  points: ReceivedPoint[];
  resource: Record<string, AttributeValue>;
}

export interface OtlpReceiver extends AsyncDisposable {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly url: string;
  /** Headers of each request so far. */
  readonly requests: { path: string; headers: IncomingMessage['headers'] }[];
  /** All so far, in order of arrival. */
  spans(): ReceivedSpan[];
  /** Resolves with all spans so far as soon as the predicate holds for them. */
  waitForSpans(predicate: (spans: ReceivedSpan[]) => boolean, signal?: AbortSignal): Promise<ReceivedSpan[]>;
  waitForLogs(predicate: (logs: ReceivedLog[]) => boolean, signal?: AbortSignal): Promise<ReceivedLog[]>;
  /** Newest of each name. */
  metrics(): Map<string, ReceivedMetric>;
  waitForMetrics(
    predicate: (metrics: Map<string, ReceivedMetric>) => boolean,
    signal?: AbortSignal,
  ): Promise<Map<string, ReceivedMetric>>;
  /** Answers with this status from now on, and keeps nothing; 200 takes things in again. */
  answerWith(status: number): void;
  close(): Promise<void>;
}

export async function startOtlpReceiver(port = 0): Promise<OtlpReceiver> {
  const root = protobuf.parse(OTLP_SCHEMA).root;
  const tracesType = root.lookupType('TracesRequest');
  const metricsType = root.lookupType('MetricsRequest');
  const logsType = root.lookupType('LogsRequest');
  const spans: ReceivedSpan[] = [];
  const logs: ReceivedLog[] = [];
  const metrics = new Map<string, ReceivedMetric>();
  const requests: OtlpReceiver['requests'] = [];
  const waiters = new Set<() => void>();
  let status = 200;

  async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const raw = await buffer(request);
    const bytes = request.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw;
    requests.push({ path: request.url ?? '', headers: request.headers });
    if (status === 200 && request.url === '/v1/traces') spans.push(...decodeSpans(tracesType, bytes));
    if (status === 200 && request.url === '/v1/logs') logs.push(...decodeLogs(logsType, bytes));
    if (status === 200 && request.url === '/v1/metrics') {
      for (const metric of decodeMetrics(metricsType, bytes)) mergeMetric(metrics, metric);
    }
    response.writeHead(status, { 'content-type': 'application/x-protobuf' }).end();
    for (const waiter of [...waiters]) waiter();
  }

  function waitFor<Value>(read: () => Value, predicate: (value: Value) => boolean, signal?: AbortSignal) {
    return new Promise<Value>((resolve, reject) => {
      function look(): void {
        if (!predicate(read())) return;
        waiters.delete(look);
        resolve(read());
      }
      function abort(): void {
        waiters.delete(look);
        reject(signal?.reason);
      }
      if (signal?.aborted === true) return abort();
      signal?.addEventListener('abort', abort, { once: true });
      waiters.add(look);
      look();
    });
  }

  const server = createServer((request, response) => {
    receive(request, response).catch((error: unknown) => {
      response.writeHead(400, { 'content-type': 'text/plain' }).end(String(error));
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    spans: () => spans,
    waitForSpans: (predicate, signal) => waitFor(() => spans, predicate, signal),
    waitForLogs: (predicate, signal) => waitFor(() => logs, predicate, signal),
    metrics: () => metrics,
    waitForMetrics: (predicate, signal) => waitFor(() => metrics, predicate, signal),
    answerWith(next) {
      status = next;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** A large set of points comes in several requests: points of one collection are put together by their attributes. */
function mergeMetric(metrics: Map<string, ReceivedMetric>, metric: ReceivedMetric): void {
  const known = metrics.get(metric.name);
  const key = (point: ReceivedPoint) => JSON.stringify(Object.entries(point.attributes).sort());
  const points = new Map((known?.points ?? []).map((point) => [key(point), point]));
  for (const point of metric.points) points.set(key(point), point);
  metrics.set(metric.name, { ...metric, points: [...points.values()] });
}

/* Decoded messages as protobufjs gives them with 64-bit numbers as strings and bytes as base64. */

const text = z.string();
const attributes = z
  .array(
    z.object({
      key: text,
      value: z.object({
        stringValue: text.optional(),
        boolValue: z.boolean().optional(),
        intValue: text.optional(),
        doubleValue: z.number().optional(),
      }),
    }),
  )
  .default([])
  .transform((pairs) => {
    const found: Record<string, AttributeValue> = {};
    for (const { key, value } of pairs) {
      const number = value.intValue === undefined ? value.doubleValue : Number(value.intValue);
      found[key] = value.stringValue ?? value.boolValue ?? number ?? '';
    }
    return found;
  });
const hex = text.default('').transform((base64) => Buffer.from(base64, 'base64').toString('hex'));
const resource = z.object({ attributes }).default({ attributes: {} });
const longs = z.array(text).default([]);

const tracesRequest = z.object({
  resourceSpans: z
    .array(
      z.object({
        resource,
        scopeSpans: z.array(
          z.object({
            spans: z.array(
              z.object({
                traceId: hex,
                spanId: hex,
                parentSpanId: hex,
                name: text,
                kind: z.number().default(0),
                startTimeUnixNano: text,
                endTimeUnixNano: text,
                attributes,
                links: z.array(z.object({ traceId: hex, spanId: hex })).default([]),
                status: z.object({ code: z.number().default(0), message: text.default('') }).prefault({}),
              }),
            ),
          }),
        ),
      }),
    )
    .default([]),
});

const logsRequest = z.object({
  resourceLogs: z
    .array(
      z.object({
        resource,
        scopeLogs: z.array(
          z.object({
            logRecords: z.array(
              z.object({
                timeUnixNano: text,
                severityText: text,
                body: z.object({ stringValue: text }),
                attributes,
                traceId: hex,
                spanId: hex,
              }),
            ),
          }),
        ),
      }),
    )
    .default([]),
});

const numbers = z.object({
  dataPoints: z.array(z.object({ attributes, asDouble: z.number().optional(), asInt: text.optional() })).default([]),
});
const histograms = z.object({
  dataPoints: z
    .array(
      z.object({
        attributes,
        count: text,
        sum: z.number().default(0),
        bucketCounts: longs,
        explicitBounds: z.array(z.number()).default([]),
      }),
    )
    .default([]),
});
const metricsRequest = z.object({
  resourceMetrics: z
    .array(
      z.object({
        resource,
        scopeMetrics: z.array(
          z.object({
            metrics: z.array(
              z.object({
                name: text,
                unit: text.default(''),
                gauge: numbers.optional(),
                sum: numbers.optional(),
                histogram: histograms.optional(),
              }),
            ),
          }),
        ),
      }),
    )
    .default([]),
});

const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'] as const;
const CODES = ['unset', 'ok', 'error'] as const;

function decode(type: protobuf.Type, bytes: Uint8Array): unknown {
  return type.toObject(type.decode(bytes), { longs: String, bytes: String });
}

function decodeLogs(type: protobuf.Type, bytes: Uint8Array): ReceivedLog[] {
  const { resourceLogs } = logsRequest.parse(decode(type, bytes));
  return resourceLogs.flatMap((group) =>
    group.scopeLogs
      .flatMap((scope) => scope.logRecords)
      .map(({ timeUnixNano, severityText, body, ...record }) => ({
        ...record,
        timeNs: BigInt(timeUnixNano),
        severity: severityText,
        body: body.stringValue,
        resource: group.resource.attributes,
      })),
  );
}

function decodeSpans(type: protobuf.Type, bytes: Uint8Array): ReceivedSpan[] {
  const { resourceSpans } = tracesRequest.parse(decode(type, bytes));
  return resourceSpans.flatMap((group) =>
    group.scopeSpans
      .flatMap((scope) => scope.spans)
      .map((span) => ({
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId === '' ? null : span.parentSpanId,
        name: span.name,
        kind: KINDS[span.kind] ?? 'unspecified',
        startNs: BigInt(span.startTimeUnixNano),
        endNs: BigInt(span.endTimeUnixNano),
        attributes: span.attributes,
        links: span.links,
        status: { code: CODES[span.status.code] ?? 'unset', message: span.status.message },
        resource: group.resource.attributes,
      })),
  );
}

function decodeMetrics(type: protobuf.Type, bytes: Uint8Array): ReceivedMetric[] {
  const { resourceMetrics } = metricsRequest.parse(decode(type, bytes));
  return resourceMetrics.flatMap((group) =>
    group.scopeMetrics
      .flatMap((scope) => scope.metrics)
      .map(({ name, unit, gauge, sum, histogram }) => ({
        name,
        unit,
        type: histogram !== undefined ? 'histogram' : sum !== undefined ? 'sum' : 'gauge',
        points: [
          ...(gauge ?? sum ?? { dataPoints: [] }).dataPoints.map((point) => ({
            attributes: point.attributes,
            value: point.asDouble ?? Number(point.asInt),
            histogram: null,
          })),
          ...(histogram?.dataPoints ?? []).map((point) => ({
            attributes: point.attributes,
            value: point.sum,
            histogram: {
              count: Number(point.count),
              bounds: point.explicitBounds,
              counts: point.bucketCounts.map(Number),
            },
          })),
        ],
        resource: group.resource.attributes,
      })),
  );
}
