/** Spans that a base told of an invocation, put in their place on the gateway's clock. */
import type { SpanReport } from '../../functions/contract/span.ts';
import type { InvokeFacts } from '../../pool/keeper/api.ts';

export interface PlacedSpan {
  report: SpanReport;
  /** Epoch ms. */
  from: number;
  to: number;
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
    .map((report) => ({ report, from: place(report.startedAt), to: place(report.endedAt) }))
    .sort((a, b) => a.report.id - b.report.id);
}
