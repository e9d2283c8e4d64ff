/** What `propagation` of @opentelemetry/api stands on: W3C traceparent, and nothing else. */
import type { TextMapPropagator } from '@opentelemetry/api';
import { foreignSpan, SPAN_KEY } from './context.ts';

const HEADER = 'traceparent';
const SHAPE = /^[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/;

export const propagator: TextMapPropagator = {
  inject(context, carrier, setter) {
    const span = context.getValue(SPAN_KEY) as ReturnType<typeof foreignSpan> | undefined;
    const place = span?.spanContext();
    if (place === undefined || /^0*$/.test(place.traceId)) return;
    const flags = place.traceFlags.toString(16).padStart(2, '0');
    setter.set(carrier, HEADER, `00-${place.traceId}-${place.spanId}-${flags}`);
  },

  extract(context, carrier, getter) {
    const given = getter.get(carrier, HEADER);
    const found = SHAPE.exec(String(Array.isArray(given) ? given[0] : given));
    if (found === null) return context;
    const [, traceId = '', spanId = '', flags = '0'] = found;
    const place = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true };
    return context.setValue(SPAN_KEY, foreignSpan(place));
  },

  fields: () => [HEADER],
};
