/**
 * Spans that a base reports of an invocation: what happened between its beginning and its end, for the trace that the
 * gateway exports. A base runs no OpenTelemetry of its own, and decides over no id that leaves the machine.
 */

export interface SpanReport {
  /** 1 and up, of this invocation. */
  id: number;
  /** One of the same invocation; null: the invoke span. */
  parent: number | null;
  name: string;
  /** Monotonic ms (see monotonicMs). */
  startedAt: number;
  endedAt: number;
  /** What went wrong; null when nothing did. */
  error: string | null;
  attributes: Record<string, string | number | boolean>;
  /** OpenTelemetry's; absent: internal. */
  kind?: (typeof SPAN_KINDS)[number];
  /** The library that made it, as it names itself; absent: Hearth. */
  scope?: string;
  events?: SpanEventReport[];
}

/** A moment within a span, such as an exception that was noted. */
export interface SpanEventReport {
  name: string;
  /** Monotonic ms. */
  at: number;
  attributes: Record<string, string | number | boolean>;
}

/** In the order of OpenTelemetry's SpanKind, whose first, internal, is said by saying nothing. */
export const SPAN_KINDS = ['server', 'client', 'producer', 'consumer'] as const;

const MIXER = 0x9e3779b97f4a7c15n;

/**
 * 16 hex digits, of the span with this number under an invoke span. Both ends reckon it, so that a base names spans of
 * its own invocations and no others.
 */
export function spanIdOf(invokeSpanId: string, id: number): string {
  const mixed = BigInt.asUintN(64, BigInt(`0x${invokeSpanId}`) ^ (BigInt(id) * MIXER));
  // All zeros are no id; to meet them takes one chance in 2^64.
  return (mixed === 0n ? 1n : mixed).toString(16).padStart(16, '0');
}

/** A W3C traceparent of an invoke span with the span of this number in its place; as it is when it is none. */
export function traceparentUnder(traceparent: string, id: number): string {
  const parts = traceparent.split('-');
  const [version, trace, span, flags] = parts;
  if (parts.length !== 4 || span === undefined || !/^[0-9a-f]{16}$/.test(span)) return traceparent;
  return `${version}-${trace}-${spanIdOf(span, id)}-${flags}`;
}

/** base → gateway, in order with what else the base says of the invocation: before the answer that ends it. */
export interface SpansEvent {
  event: 'spans';
  module: string;
  invocationId: string;
  spans: SpanReport[];
}

/** Of one invocation, all events together; further ones are dropped. */
export const MAX_SPANS = 128;
export const MAX_SPAN_NAME_CHARS = 128;
export const MAX_SPAN_ERROR_CHARS = 512;
export const MAX_SPAN_ATTRIBUTES = 16;
export const MAX_SPAN_KEY_CHARS = 64;
export const MAX_SPAN_VALUE_CHARS = 256;
export const MAX_SPAN_EVENTS = 8;
export const MAX_EVENT_ATTRIBUTES = 4;
/** Of all spans of one invocation, as `spanChars` counts; what comes beyond is dropped. */
export const MAX_SPANS_CHARS = 64 * 1024;

/** What a span takes, roughly: the gateway keeps it until its invocation is over. */
export function spanChars({ name, error, scope = '', attributes, events = [] }: SpanReport): number {
  let chars = SPAN_CHARS + name.length + (error?.length ?? 0) + scope.length + charsOf(attributes);
  for (const event of events) chars += event.name.length + charsOf(event.attributes);
  return chars;
}

const SPAN_CHARS = 100;

function charsOf(attributes: SpanReport['attributes']): number {
  let chars = 0;
  for (const [key, value] of Object.entries(attributes)) chars += key.length + String(value).length;
  return chars;
}

/** Attributes of spans of flows and their steps: the runtime's part of the names in gateway/telemetry/names.ts. */
export const STEP_ATTR = {
  business: 'hearth.business',
  template: 'hearth.template',
  flow: 'hearth.flow',
  step: 'hearth.step',
  point: 'hearth.point',
  component: 'hearth.component',
  attempts: 'hearth.step.attempts',
  /** `skipped`: its condition did not hold. */
  state: 'hearth.step.state',
  errorType: 'error.type',
} as const;

/** Attributes of the spans of outgoing `fetch` calls, by the HTTP conventions. */
export const FETCH_ATTR = {
  method: 'http.request.method',
  /** Without user, query and fragment, in which secrets stand. */
  url: 'url.full',
  host: 'server.address',
  port: 'server.port',
  status: 'http.response.status_code',
  errorType: 'error.type',
} as const;
