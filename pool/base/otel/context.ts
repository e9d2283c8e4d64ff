/** What `context` of @opentelemetry/api stands on: which context running code is in, over its awaits. */
import type { Context, ContextManager, SpanContext } from '@opentelemetry/api';
import { currentInvocation } from '../context.ts';
import { InvocationSpans, NOWHERE } from '../spans.ts';
import { PassiveSpan } from './span.ts';

/** The key each copy of the API keeps a context's span under. */
export const SPAN_KEY = Symbol.for('OpenTelemetry Context Key SPAN');

/** Immutable, as the API wants it. */
class Values implements Context {
  readonly #values: ReadonlyMap<symbol, unknown>;

  constructor(values: ReadonlyMap<symbol, unknown>) {
    this.#values = values;
  }

  getValue(key: symbol): unknown {
    return this.#values.get(key);
  }

  setValue(key: symbol, value: unknown): Context {
    return new Values(new Map([...this.#values, [key, value]]));
  }

  deleteValue(key: symbol): Context {
    return new Values(new Map([...this.#values].filter(([one]) => one !== key)));
  }
}

const EMPTY = new Values(new Map());

/** The span of a context, when one of ours made it. */
export function ownSpan(context: Context): PassiveSpan | null {
  const span = context.getValue(SPAN_KEY);
  return span instanceof PassiveSpan ? span : null;
}

/** A span that nothing is told of: beyond any invocation, or made by who called. */
export function foreignSpan(place: SpanContext = NOWHERE): PassiveSpan {
  return new PassiveSpan(null, null, place);
}

export const contextManager: ContextManager = {
  active() {
    const at = InvocationSpans.standing;
    if (at !== undefined && at.context !== null) return at.context;
    const spans = at?.spans ?? currentInvocation.getStore()?.spans ?? null;
    if (spans === null) return EMPTY;
    const id = at?.id ?? null;
    return EMPTY.setValue(SPAN_KEY, new PassiveSpan(spans, id, spans.contextOf(id)));
  },

  with(context, call, thisArg, ...args) {
    const span = ownSpan(context);
    const standing = { spans: span?.owner ?? null, id: span?.number ?? null, context };
    return InvocationSpans.runAt(standing, () => call.call(thisArg as ThisParameterType<typeof call>, ...args));
  },

  bind(context, target) {
    if (typeof target !== 'function') return target;
    const bound = function (this: unknown, ...args: unknown[]): unknown {
      return contextManager.with(context, () => Reflect.apply(target, this, args));
    };
    return Object.defineProperty(bound, 'length', { value: target.length }) as typeof target;
  },

  enable: () => contextManager,
  disable: () => contextManager,
};
