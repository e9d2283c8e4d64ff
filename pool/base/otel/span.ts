/** Spans as @opentelemetry/api hands them to a function. */
import type { Attributes, Exception, Span, SpanContext, SpanStatus, TimeInput } from '@opentelemetry/api';
import {
  MAX_SPAN_ATTRIBUTES,
  MAX_SPAN_EVENTS,
  type SpanEventReport,
  type SpanReport,
} from '../../../functions/contract/span.ts';
import { type InvocationSpans, isReported } from '../spans.ts';

/** SpanStatusCode.ERROR. */
const ERROR = 2;

/** Keeps its place in a trace and tells nothing. */
export class PassiveSpan implements Span {
  /** Whose span it is; null: of no invocation. */
  readonly owner: InvocationSpans | null;
  /** Among those of its owner; null: the invoke span. */
  readonly number: number | null;
  readonly #place: SpanContext;

  constructor(owner: InvocationSpans | null, number: number | null, place: SpanContext) {
    this.owner = owner;
    this.number = number;
    this.#place = place;
  }

  spanContext(): SpanContext {
    return this.#place;
  }

  setAttribute(_key: string, _value: unknown): this {
    return this;
  }

  setAttributes(_attributes: Attributes): this {
    return this;
  }

  addEvent(_name: string, _attributesOrTime?: Attributes | TimeInput, _time?: TimeInput): this {
    return this;
  }

  /** Links are not told: the producers of a message are linked by the gateway. */
  addLink(): this {
    return this;
  }

  addLinks(): this {
    return this;
  }

  setStatus(_status: SpanStatus): this {
    return this;
  }

  updateName(_name: string): this {
    return this;
  }

  recordException(_exception: Exception, _time?: TimeInput): void {
    return;
  }

  end(_time?: TimeInput): void {
    return;
  }

  isRecording(): boolean {
    return false;
  }
}

export interface RecordedStart {
  owner: InvocationSpans;
  parent: number | null;
  name: string;
  attributes: Attributes;
  /** Absent: internal. */
  kind: SpanReport['kind'];
  /** The library that makes it. */
  scope: string;
  startTime: TimeInput | undefined;
}

export class RecordedSpan extends PassiveSpan {
  readonly #owner: InvocationSpans;
  readonly #report: SpanReport & { events: SpanEventReport[] };
  #ended = false;

  constructor({ owner, parent, name, attributes, kind, scope, startTime }: RecordedStart) {
    const id = owner.begin();
    super(owner, id, owner.contextOf(id));
    this.#owner = owner;
    const startedAt = monotonicOf(startTime, owner);
    this.#report = { id, parent, name, startedAt, endedAt: startedAt, error: null, attributes: {}, scope, events: [] };
    if (kind !== undefined) this.#report.kind = kind;
    this.setAttributes(attributes);
  }

  override isRecording(): boolean {
    return !this.#ended && isReported(this.#report.id);
  }

  override setAttribute(key: string, value: unknown): this {
    const { attributes } = this.#report;
    const isNew = !Object.hasOwn(attributes, key);
    const isOver = isNew && Object.keys(attributes).length >= MAX_SPAN_ATTRIBUTES;
    // What it becomes in the end is for the report to say: see spans.ts.
    if (!this.#ended && value !== undefined && value !== null && !isOver) attributes[key] = value as string;
    return this;
  }

  override setAttributes(attributes: Attributes): this {
    for (const [key, value] of Object.entries(attributes)) this.setAttribute(key, value);
    return this;
  }

  override addEvent(name: string, attributesOrTime?: Attributes | TimeInput, time?: TimeInput): this {
    const { events } = this.#report;
    if (this.#ended || events.length >= MAX_SPAN_EVENTS) return this;
    const isTime = isTimeInput(attributesOrTime);
    const at = monotonicOf(isTime ? attributesOrTime : time, this.#owner);
    events.push({ name, at, attributes: { ...(isTime ? {} : (attributesOrTime as Record<string, string>)) } });
    return this;
  }

  override setStatus({ code, message }: SpanStatus): this {
    if (!this.#ended) this.#report.error = code === ERROR ? (message ?? '') : null;
    return this;
  }

  override updateName(name: string): this {
    if (!this.#ended) this.#report.name = name;
    return this;
  }

  /** Without its stack: that is for the function's log. */
  override recordException(exception: Exception, time?: TimeInput): void {
    const { name, message } = typeof exception === 'string' ? { name: 'Error', message: exception } : exception;
    this.addEvent('exception', { 'exception.type': name ?? 'Error', 'exception.message': message ?? '' }, time);
  }

  override end(time?: TimeInput): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#report.endedAt = monotonicOf(time, this.#owner);
    this.#owner.report(this.#report);
  }
}

function isTimeInput(value: unknown): value is TimeInput {
  return typeof value === 'number' || value instanceof Date || Array.isArray(value);
}

/** Epoch times, and those of `performance.now()`, on the clock that both ends of the link read. */
function monotonicOf(time: TimeInput | undefined, clock: { now(): number }): number {
  const now = clock.now();
  if (time === undefined) return now;
  if (typeof time === 'number' && time < performance.timeOrigin) return now - (performance.now() - time);
  const epochMs = Array.isArray(time) ? time[0] * 1000 + time[1] / 1e6 : Number(time);
  return now - (performance.timeOrigin + performance.now() - epochMs);
}
