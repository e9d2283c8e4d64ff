/** Spans of one invocation: what its code began and ended, told to the gateway when each has ended. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context, SpanContext } from '@opentelemetry/api';
import type { Span, SpanAttributes } from '../../functions/contract/handlers.ts';
import {
  MAX_EVENT_ATTRIBUTES,
  MAX_SPAN_ATTRIBUTES,
  MAX_SPAN_ERROR_CHARS,
  MAX_SPAN_EVENTS,
  MAX_SPAN_KEY_CHARS,
  MAX_SPAN_NAME_CHARS,
  MAX_SPAN_VALUE_CHARS,
  MAX_SPANS,
  MAX_SPANS_CHARS,
  type SpanReport,
  type SpansEvent,
  spanChars,
  spanIdOf,
  traceparentUnder,
} from '../../functions/contract/span.ts';

export interface SpanSink {
  send(event: SpansEvent): void;
  /** Monotonic ms. */
  now(): number;
}

/** Where running code stands, over its awaits. */
export interface Standing {
  /** Whose span it is; null: of no invocation. */
  spans: InvocationSpans | null;
  /** Null: within none but the invocation's own. */
  id: number | null;
  /** OpenTelemetry's context, where one was entered. */
  context: Context | null;
}

const within = new AsyncLocalStorage<Standing>();

/** No place in any trace, as OpenTelemetry says it. */
export const NOWHERE: SpanContext = { traceId: '0'.repeat(32), spanId: '0'.repeat(16), traceFlags: 0 };

/** What the gateway knows the invocation by. */
export interface TracedInvocation {
  module: string;
  invocationId: string;
  /** Of its invoke span. */
  traceparent: string;
}

export class InvocationSpans {
  readonly #invocation: TracedInvocation;
  readonly #sink: SpanSink;
  #begun = 0;
  /** Told so far. */
  #chars = 0;

  constructor(invocation: TracedInvocation, sink: SpanSink) {
    this.#invocation = invocation;
    this.#sink = sink;
  }

  /** Whether code runs within any span, of whatever invocation: for all others nothing has to be looked up. */
  static get any(): boolean {
    return within.getStore() !== undefined;
  }

  static get standing(): Standing | undefined {
    return within.getStore();
  }

  static runAt<Result>(standing: Standing, call: () => Result): Result {
    return within.run(standing, call);
  }

  /** The span within which the running code stands; null: the invocation's own. */
  get current(): number | null {
    const at = within.getStore();
    // Beyond the most that are reported it would lead to nothing.
    return at?.spans === this && at.id !== null && isReported(at.id) ? at.id : null;
  }

  /** For what is called now. */
  get traceparent(): string {
    return this.traceparentOf(this.current);
  }

  traceparentOf(id: number | null): string {
    const { traceparent } = this.#invocation;
    return id === null || !isReported(id) ? traceparent : traceparentUnder(traceparent, id);
  }

  /** As OpenTelemetry names the place of a span; null: the invoke span. */
  contextOf(id: number | null): SpanContext {
    const [, traceId = '', spanId = '', flags = '0'] = this.#invocation.traceparent.split('-');
    // Called from beside it, in the background: there is no trace.
    if (traceId === '') return NOWHERE;
    return { traceId, spanId: id === null ? spanId : spanIdOf(spanId, id), traceFlags: Number.parseInt(flags, 16) };
  }

  /** The number of one more span. */
  begin(): number {
    return ++this.#begun;
  }

  /** Monotonic ms. */
  now(): number {
    return this.#sink.now();
  }

  /** Tells of a span that has ended. Cuts what the gateway would take for an attack. */
  report(span: SpanReport): void {
    const { id, parent } = span;
    if (!isReported(id)) return;
    const startedAt = timeOr(span.startedAt, 0);
    const told: SpanReport = {
      id,
      parent: isEarlier(parent, id) ? parent : null,
      name: cut(span.name, MAX_SPAN_NAME_CHARS),
      startedAt,
      endedAt: Math.max(startedAt, timeOr(span.endedAt, startedAt)),
      error: span.error === null ? null : cut(span.error, MAX_SPAN_ERROR_CHARS),
      attributes: bounded(span.attributes),
    };
    if (span.kind !== undefined) told.kind = span.kind;
    if (span.scope !== undefined) told.scope = cut(span.scope, MAX_SPAN_NAME_CHARS);
    if (span.events !== undefined && span.events.length > 0) {
      told.events = span.events.slice(0, MAX_SPAN_EVENTS).map(({ name, at, attributes }) => ({
        name: cut(name, MAX_SPAN_NAME_CHARS),
        at: timeOr(at, startedAt),
        attributes: bounded(attributes, MAX_EVENT_ATTRIBUTES),
      }));
    }
    this.#chars += spanChars(told);
    if (this.#chars > MAX_SPANS_CHARS) return;
    // At once: the answer must not overtake it, and a handler that loops afterwards not keep it back.
    const { module, invocationId } = this.#invocation;
    this.#sink.send({ event: 'spans', module, invocationId, spans: [told] });
  }

  /** `ctx.startSpan`. */
  start(name: string, attributes: SpanAttributes = {}, parent: number | null = this.current): Span {
    const id = this.begin();
    const startedAt = this.now();
    let ended = false;
    return {
      id,
      run: (call) => within.run({ spans: this, id, context: null }, call),
      end: (error = null, more = {}) => {
        if (ended) return;
        ended = true;
        const endedAt = this.now();
        this.report({ id, parent, name, startedAt, endedAt, error, attributes: { ...attributes, ...more } });
      },
    };
  }
}

/** Whether a span of this number is told of at all. */
export function isReported(id: number): boolean {
  return id <= MAX_SPANS;
}

function isEarlier(parent: unknown, id: number): boolean {
  return Number.isInteger(parent) && (parent as number) > 0 && (parent as number) < id;
}

function timeOr(time: number, other: number): number {
  return Number.isFinite(time) && time >= 0 ? time : other;
}

function bounded(attributes: Record<string, unknown>, most = MAX_SPAN_ATTRIBUTES): SpanAttributes {
  const kept: SpanAttributes = {};
  for (const [key, value] of Object.entries(attributes).slice(0, most)) {
    const fits = typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value));
    kept[cut(key, MAX_SPAN_KEY_CHARS)] = fits ? value : cut(value, MAX_SPAN_VALUE_CHARS);
  }
  return kept;
}

/** What cannot be a string is named rather than thrown at. Lists are OpenTelemetry's: their primitive members, joined. */
function cut(text: unknown, chars: number): string {
  if (typeof text === 'string') return text.slice(0, chars);
  if (!Array.isArray(text)) return Object.prototype.toString.call(text);
  const members = text.slice(0, chars).filter((one) => ['string', 'number', 'boolean'].includes(typeof one));
  return members.join(',').slice(0, chars);
}
