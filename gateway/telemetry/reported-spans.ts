/** Spans that a base told of an invocation, put in their place on the gateway's clock. */
import { type Attributes, type SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { SPAN_KINDS, type SpanReport } from '../../functions/contract/span.ts';
import type { InvokeFacts } from '../../pool/keeper/api.ts';
import { hrTime, type SpanOptions } from './finished-span.ts';

export interface PlacedSpan {
  report: SpanReport;
  /** Epoch ms. */
  from: number;
  to: number;
  /** Of its events, in their order. */
  at: number[];
}

/**
 * Parents before their children. The base's moments are on the monotonic clock, of which the head's moment is known in
 * both; what would leave the time between `low` and `high` (epoch ms) is cut there, as a base's word is only a word.
 */
export function placeReported(
  reports: readonly SpanReport[],
  { phases, arrivedAtMs, headAt }: InvokeFacts,
  low: number,
  high: number,
): PlacedSpan[] {
  const { wait, run, acquire = 0, transfer = 0, compile = 0, evaluate = 0 } = phases;
  const arrivedAt = headAt - (wait + run + acquire + transfer + compile + evaluate);
  const place = (monotonic: number) => Math.min(high, Math.max(low, arrivedAtMs + (monotonic - arrivedAt)));
  return reports
    .map((report) => ({
      report,
      from: place(report.startedAt),
      to: place(report.endedAt),
      at: report.events?.map((event) => place(event.at)) ?? [],
    }))
    .sort((a, b) => a.report.id - b.report.id);
}

/** `common`: what holds of all spans of the invocation. */
export function reportedOptions({ report, at }: PlacedSpan, common: Attributes): SpanOptions {
  const { error, kind, scope, events = [] } = report;
  // The function's word first: it does not change whose span this is.
  const options: SpanOptions = { attributes: { ...report.attributes, ...common } };
  if (error !== null) options.status = { code: SpanStatusCode.ERROR, message: error };
  // In the order of SpanKind, after internal.
  if (kind !== undefined) options.kind = (SPAN_KINDS.indexOf(kind) + 1) as SpanKind;
  if (scope !== undefined) options.scope = { name: scope };
  if (events.length > 0) {
    options.events = events.map(({ name, attributes }, n) => ({ name, attributes, time: hrTime(at[n] ?? 0) }));
  }
  return options;
}
