/** A span that has ended, as exporters take it: all of it is known before it is made. */
import {
  type Attributes,
  type HrTime,
  type Link,
  type SpanContext,
  SpanKind,
  type SpanStatus,
  SpanStatusCode,
} from '@opentelemetry/api';
import type { InstrumentationScope } from '@opentelemetry/core';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan, TimedEvent } from '@opentelemetry/sdk-trace';
import { SCOPE } from './names.ts';

/** Epoch ms with fractions, as OpenTelemetry's [seconds, nanoseconds]. */
export function hrTime(epochMs: number): HrTime {
  const seconds = Math.floor(epochMs / 1000);
  return [seconds, Math.round((epochMs - seconds * 1000) * 1e6)];
}

export interface SpanOptions {
  spanId?: string;
  kind?: SpanKind;
  attributes?: Attributes;
  links?: Link[];
  status?: SpanStatus;
  /** Who made it; absent: Hearth. */
  scope?: InstrumentationScope;
  events?: TimedEvent[];
}

const SCOPE_OF_ALL: InstrumentationScope = { name: SCOPE };
const NO_LINKS: Link[] = [];
const NO_EVENTS: TimedEvent[] = [];
const UNSET: SpanStatus = { code: SpanStatusCode.UNSET };

export class FinishedSpan implements ReadableSpan {
  readonly resource: Resource;
  readonly name: string;
  readonly kind: SpanKind;
  readonly parentSpanContext?: SpanContext;
  readonly startTime: HrTime;
  readonly endTime: HrTime;
  readonly status: SpanStatus;
  readonly attributes: Attributes;
  readonly links: Link[];
  readonly events: TimedEvent[];
  readonly ended = true;
  readonly instrumentationScope: InstrumentationScope;
  readonly droppedAttributesCount = 0;
  readonly droppedEventsCount = 0;
  readonly droppedLinksCount = 0;
  readonly #own: SpanContext;

  constructor(
    resource: Resource,
    name: string,
    own: SpanContext,
    parent: SpanContext | null,
    startTime: HrTime,
    endTime: HrTime,
    attributes: Attributes,
    options: SpanOptions,
  ) {
    this.resource = resource;
    this.name = name;
    this.#own = own;
    if (parent !== null) this.parentSpanContext = parent;
    this.startTime = startTime;
    this.endTime = endTime;
    this.attributes = attributes;
    this.kind = options.kind ?? SpanKind.INTERNAL;
    this.links = options.links ?? NO_LINKS;
    this.events = options.events ?? NO_EVENTS;
    this.instrumentationScope = options.scope ?? SCOPE_OF_ALL;
    this.status = options.status ?? UNSET;
  }

  spanContext(): SpanContext {
    return this.#own;
  }

  get duration(): HrTime {
    const [fromS, fromNs] = this.startTime;
    const [toS, toNs] = this.endTime;
    return toNs < fromNs ? [toS - fromS - 1, toNs - fromNs + 1e9] : [toS - fromS, toNs - fromNs];
  }
}
