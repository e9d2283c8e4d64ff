/**
 * A tracing backend that can be asked by invocation: Jaeger where it was built, else a receiver that decodes OTLP and
 * stands in for it. Tests carry the name, so that a report says which of the two it was.
 */
import { findJaeger, type JaegerSpan, startJaeger } from './jaeger.ts';
import { type ReceivedSpan, startOtlpReceiver } from './otlp-receiver.ts';

export interface TraceSpan {
  traceId: string;
  spanId: string;
  /** null at the root. */
  parentSpanId: string | null;
  name: string;
  kind: string;
  /** Microseconds since the epoch. */
  startUs: number;
  endUs: number;
  attributes: Record<string, string | number | boolean>;
}

export interface TraceBackend extends AsyncDisposable {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly otlpUrl: string;
  /** All spans of the trace that holds this invocation, once `complete` holds for them. */
  findByInvocationId(id: string, complete: (spans: TraceSpan[]) => boolean): Promise<TraceSpan[]>;
}

/** Far longer than an export takes. */
const GIVE_UP_MS = 20_000;

const binary = findJaeger();

export const backendName = binary === null ? 'an OTLP receiver that stands in for Jaeger' : 'Jaeger';

export function startTraceBackend(): Promise<TraceBackend> {
  return binary === null ? startStandIn() : startRealOne(binary);
}

async function startRealOne(path: string): Promise<TraceBackend> {
  const jaeger = await startJaeger(path);
  return {
    otlpUrl: jaeger.otlpUrl,
    async findByInvocationId(id, complete) {
      const spans = await jaeger.findByInvocationId(id, { complete: (found) => complete(found.map(fromJaeger)) });
      return spans.map(fromJaeger);
    },
    [Symbol.asyncDispose]: () => jaeger[Symbol.asyncDispose](),
  };
}

function fromJaeger({ tags, startUs, durationUs, ...span }: JaegerSpan): TraceSpan {
  return {
    ...span,
    kind: String(tags['span.kind'] ?? 'internal'),
    startUs,
    endUs: startUs + durationUs,
    attributes: tags,
  };
}

async function startStandIn(): Promise<TraceBackend> {
  const receiver = await startOtlpReceiver();
  return {
    otlpUrl: receiver.url,
    async findByInvocationId(id, complete) {
      const traceOf = (spans: ReceivedSpan[]) => {
        const ids = new Set(
          spans.filter(({ attributes }) => attributes['faas.invocation_id'] === id).map(({ traceId }) => traceId),
        );
        return spans.filter(({ traceId }) => ids.has(traceId)).map(fromReceiver);
      };
      return traceOf(await receiver.waitForSpans((spans) => complete(traceOf(spans)), AbortSignal.timeout(GIVE_UP_MS)));
    },
    [Symbol.asyncDispose]: () => receiver.close(),
  };
}

function fromReceiver({
  traceId,
  spanId,
  parentSpanId,
  name,
  kind,
  startNs,
  endNs,
  attributes,
}: ReceivedSpan): TraceSpan {
  const us = (ns: bigint) => Number(ns / 1000n);
  return { traceId, spanId, parentSpanId, name, kind, startUs: us(startNs), endUs: us(endNs), attributes };
}
