/** Spans of one invocation: what its code began and ended, told to the gateway when each has ended. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Span, SpanAttributes } from '../../functions/contract/handlers.ts';
import {
  MAX_SPAN_ATTRIBUTES,
  MAX_SPAN_ERROR_CHARS,
  MAX_SPAN_KEY_CHARS,
  MAX_SPAN_NAME_CHARS,
  MAX_SPAN_VALUE_CHARS,
  MAX_SPANS,
  type SpanReport,
  type SpansEvent,
  traceparentUnder,
} from '../../functions/contract/span.ts';

export interface SpanSink {
  send(event: SpansEvent): void;
  /** Monotonic ms. */
  now(): number;
}

const within = new AsyncLocalStorage<{ spans: InvocationSpans; id: number }>();

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

  constructor(invocation: TracedInvocation, sink: SpanSink) {
    this.#invocation = invocation;
    this.#sink = sink;
  }

  /** Whether code runs within any span, of whatever invocation: for all others nothing has to be looked up. */
  static get any(): boolean {
    return within.getStore() !== undefined;
  }

  /** The span within which the running code stands; null: the invocation's own. */
  get current(): number | null {
    const at = within.getStore();
    // Beyond the most that are reported it would lead to nothing.
    return at?.spans === this && at.id <= MAX_SPANS ? at.id : null;
  }

  /** For what is called now. */
  get traceparent(): string {
    const { current } = this;
    const { traceparent } = this.#invocation;
    return current === null ? traceparent : traceparentUnder(traceparent, current);
  }

  /** Cuts what the gateway would take for an attack. */
  start(name: string, attributes: SpanAttributes = {}, parent: number | null = this.current): Span {
    const id = ++this.#begun;
    const startedAt = this.#sink.now();
    let ended = false;
    return {
      id,
      run: (call) => within.run({ spans: this, id }, call),
      end: (error = null, more = {}) => {
        if (ended || id > MAX_SPANS) return;
        ended = true;
        const span: SpanReport = {
          id,
          parent: isEarlier(parent, id) ? parent : null,
          name: cut(name, MAX_SPAN_NAME_CHARS),
          startedAt,
          endedAt: this.#sink.now(),
          error: error === null ? null : cut(error, MAX_SPAN_ERROR_CHARS),
          attributes: bounded({ ...attributes, ...more }),
        };
        // At once: the answer must not overtake it, and a handler that loops afterwards not keep it back.
        const { module, invocationId } = this.#invocation;
        this.#sink.send({ event: 'spans', module, invocationId, spans: [span] });
      },
    };
  }
}

function isEarlier(parent: unknown, id: number): boolean {
  return Number.isInteger(parent) && (parent as number) > 0 && (parent as number) < id;
}

function bounded(attributes: SpanAttributes): SpanAttributes {
  const kept: SpanAttributes = {};
  for (const [key, value] of Object.entries(attributes).slice(0, MAX_SPAN_ATTRIBUTES)) {
    const fits = typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value));
    kept[cut(key, MAX_SPAN_KEY_CHARS)] = fits ? value : cut(value, MAX_SPAN_VALUE_CHARS);
  }
  return kept;
}

/** What cannot be a string is named rather than thrown at. */
function cut(text: unknown, chars: number): string {
  return (typeof text === 'string' ? text : Object.prototype.toString.call(text)).slice(0, chars);
}
