/** What `trace` of @opentelemetry/api stands on: spans of the invocation whose code makes them. */
import type { Context, Span, SpanOptions, Tracer, TracerProvider } from '@opentelemetry/api';
import { SPAN_KINDS } from '../../../functions/contract/span.ts';
import { currentInvocation } from '../context.ts';
import { contextManager, foreignSpan, ownSpan, SPAN_KEY } from './context.ts';
import { RecordedSpan } from './span.ts';

type Call = (span: Span) => unknown;

function startSpan(scope: string, name: string, options: SpanOptions = {}, given?: Context): Span {
  const parent = ownSpan(given ?? contextManager.active());
  const owner = currentInvocation.getStore()?.spans ?? parent?.owner ?? null;
  // Outside of any invocation there is no trace to stand in.
  if (owner === null) return foreignSpan(parent?.spanContext());
  const isChild = options.root !== true && parent?.owner === owner;
  return new RecordedSpan({
    owner,
    parent: isChild ? parent.number : null,
    name,
    attributes: options.attributes ?? {},
    kind: SPAN_KINDS[(options.kind ?? 0) - 1],
    scope,
    startTime: options.startTime,
  });
}

function tracer(scope: string): Tracer {
  return {
    startSpan: (name: string, options?: SpanOptions, context?: Context) => startSpan(scope, name, options, context),
    startActiveSpan(name: string, ...rest: unknown[]): unknown {
      const call = rest.pop() as Call;
      const [options, given] = rest as [SpanOptions?, Context?];
      const context = given ?? contextManager.active();
      const span = startSpan(scope, name, options, context);
      return contextManager.with(context.setValue(SPAN_KEY, span), call, undefined, span);
    },
  } as Tracer;
}

export const tracerProvider: TracerProvider = { getTracer: (name) => tracer(name) };
