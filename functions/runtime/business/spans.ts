/** Spans of flows and steps: what the base reports of them goes into the invocation's trace. */
import type { Span, SpanAttributes, StartSpan } from '../../contract/handlers.ts';
import { STEP_ATTR } from '../../contract/span.ts';
import type { FlowStep } from './flow.ts';

export function startStepSpan(
  start: StartSpan | undefined,
  name: string,
  step: FlowStep,
  parent: number | null,
): Span | undefined {
  const attributes: SpanAttributes = { [STEP_ATTR.step]: step.name, [STEP_ATTR.point]: step.point.name };
  return start?.(name, attributes, parent);
}

/** What the component calls and traces stands under its step. */
export function inSpan<Result>(span: Span | undefined, call: () => Result): Result {
  return span === undefined ? call() : span.run(call);
}
