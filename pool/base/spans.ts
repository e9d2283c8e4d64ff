/** Spans of one invocation: what its code began and ended, told to the gateway when each has ended. */
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
} from '../../functions/contract/span.ts';

export interface SpanSink {
  send(event: SpansEvent): void;
  /** Monotonic ms. */
  now(): number;
}

export class InvocationSpans {
  readonly #module: string;
  readonly #invocationId: string;
  readonly #sink: SpanSink;
  #begun = 0;

  constructor(module: string, invocationId: string, sink: SpanSink) {
    this.#module = module;
    this.#invocationId = invocationId;
    this.#sink = sink;
  }

  /** Cuts what the gateway would take for an attack. */
  start(name: string, attributes: SpanAttributes = {}, parent: number | null = null): Span {
    const id = ++this.#begun;
    const startedAt = this.#sink.now();
    let ended = false;
    return {
      id,
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
        const [module, invocationId] = [this.#module, this.#invocationId];
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
