/** Spans of flows and steps: what the base reports of them goes into the invocation's trace. */
import type { Span, SpanAttributes, StartSpan } from '../../contract/handlers.ts';
import type { FlowStep } from './flow.ts';

/** `parent`: the id of one begun before; null: the invocation's own span. */
export type SpanStarter = StartSpan;

export function startStepSpan(
  start: SpanStarter | undefined,
  name: string,
  step: FlowStep,
  parent: number | null,
): Span | undefined {
  const attributes: SpanAttributes = { 'hearth.step': step.name, 'hearth.point': step.point.name };
  return start?.(name, attributes, parent);
}
