/** The base's word on spans, checked by hand: see validate.ts. */
import {
  MAX_EVENT_ATTRIBUTES,
  MAX_SPAN_ATTRIBUTES,
  MAX_SPAN_ERROR_CHARS,
  MAX_SPAN_EVENTS,
  MAX_SPAN_KEY_CHARS,
  MAX_SPAN_NAME_CHARS,
  MAX_SPAN_VALUE_CHARS,
  MAX_SPANS,
  SPAN_KINDS,
} from '../../functions/contract/span.ts';

/** Whether all of it is in bounds. How many of one invocation come over several events is for who keeps them to count. */
export function isSpansEvent({ module, invocationId, spans }: Record<string, unknown>): boolean {
  const named = typeof module === 'string' && typeof invocationId === 'string';
  return named && Array.isArray(spans) && spans.length <= MAX_SPANS && spans.every(isSpanReport);
}

function isSpanReport(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { id, parent, name, startedAt, endedAt, error, attributes, kind, scope, events } = value as Record<
    string,
    unknown
  >;
  return (
    isSpanNumber(id) &&
    (parent === null || (isSpanNumber(parent) && (parent as number) < (id as number))) &&
    isText(name, MAX_SPAN_NAME_CHARS) &&
    isTime(startedAt) &&
    isTime(endedAt) &&
    (endedAt as number) >= (startedAt as number) &&
    (error === null || isText(error, MAX_SPAN_ERROR_CHARS)) &&
    areAttributes(attributes) &&
    (kind === undefined || SPAN_KINDS.some((known) => known === kind)) &&
    (scope === undefined || isText(scope, MAX_SPAN_NAME_CHARS)) &&
    (events === undefined || (Array.isArray(events) && events.length <= MAX_SPAN_EVENTS && events.every(isEvent)))
  );
}

function isEvent(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { name, at, attributes } = value as Record<string, unknown>;
  return isText(name, MAX_SPAN_NAME_CHARS) && isTime(at) && areAttributes(attributes, MAX_EVENT_ATTRIBUTES);
}

function areAttributes(value: unknown, most = MAX_SPAN_ATTRIBUTES): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const entries = Object.entries(value);
  return entries.length <= most && entries.every(([key, one]) => isText(key, MAX_SPAN_KEY_CHARS) && isValue(one));
}

function isValue(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  return typeof value === 'boolean' || isText(value, MAX_SPAN_VALUE_CHARS);
}

/** What a base may call a span of one of its invocations. */
export function isSpanNumber(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) <= MAX_SPANS;
}

function isText(value: unknown, chars: number): boolean {
  return typeof value === 'string' && value.length <= chars;
}

function isTime(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
