/**
 * Spans of an invocation, made after it has ended from what is known of it.
 *
 *   server span │ SERVER or CONSUMER ───────────────────────────────────────────────────────────────┐
 *     pool.acquire │ wait, acquire ─┐
 *     function.load (cold only)     └ transfer, compile, evaluate ─┐   each also a child of its own
 *     function.invoke                                              └ run … end of the answer ────────┘
 *       what the function reports of itself, such as the steps of a flow
 *     process QUEUE, one per message, at the same time as function.invoke
 *
 * All others are children of the server span. Each begins where the one before it ends, and none leaves the server span.
 */
import {
  type Attributes,
  type Link,
  type SpanContext,
  SpanKind,
  type SpanStatus,
  SpanStatusCode,
  TraceFlags,
} from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { spanIdOf } from '../../functions/contract/span.ts';
import type { Phases } from '../../pool/keeper/api.ts';
import { FinishedSpan, hrTime, type SpanOptions } from './finished-span.ts';
import { ATTR, FAAS_TRIGGER, HEARTH_ATTR, MESSAGING_SYSTEM, RPC_SYSTEM, SPAN } from './names.ts';
import { placeReported, reportedOptions } from './reported-spans.ts';
import type { FinishedInvocation } from './telemetry.ts';
import { parseTraceparent } from './traceparent.ts';

/** Whether an invocation is exported though the decision at the head was not to. */
export function isAlwaysExported(invocation: FinishedInvocation): boolean {
  return invocation.error !== null || invocation.facts?.start === 'cold' || (invocation.http?.status ?? 0) >= 500;
}

export interface SpanMaker {
  spans(invocation: FinishedInvocation): ReadableSpan[];
}

export function createSpanMaker(resource: Resource, newSpanId: () => string): SpanMaker {
  return { spans: (invocation) => makeSpans(invocation, resource, newSpanId) };
}

function makeSpans(invocation: FinishedInvocation, resource: Resource, newSpanId: () => string): ReadableSpan[] {
  const { trace, facts, error } = invocation;
  const spans: ReadableSpan[] = [];
  const server = context(trace.traceId, trace.serverSpanId);
  const common = commonAttributes(invocation);
  const times = cutTimes(invocation);
  const failedAt = error === null ? null : placeOfFailure(invocation);

  function add(name: string, parent: SpanContext, from: number, to: number, options: SpanOptions = {}): SpanContext {
    const own = context(trace.traceId, options.spanId ?? newSpanId());
    spans.push(
      new FinishedSpan(resource, name, own, parent, hrTime(from), hrTime(to), options.attributes ?? common, options),
    );
    return own;
  }
  const failure =
    error === null ? {} : { status: errorStatus(error.message), attributes: withError(common, error.code) };
  const at = (place: Place) => (failedAt === place ? failure : {});

  spans.push(serverSpan(invocation, resource, server, common, times));
  if (facts !== null || failedAt === 'acquire') add(SPAN.acquire, server, times.arrived, times.acquired, at('acquire'));
  if (facts?.start === 'cold') {
    const load = add(SPAN.load, server, times.acquired, times.evaluated, at('load'));
    add(SPAN.transfer, load, times.acquired, times.transferred);
    add(SPAN.compile, load, times.transferred, times.compiled);
    add(SPAN.evaluate, load, times.compiled, times.evaluated);
  }
  if (facts !== null && failedAt !== 'load' && failedAt !== 'acquire') {
    const invoke = add(SPAN.invoke, server, times.evaluated, times.ended, {
      spanId: trace.invokeSpanId,
      ...at('invoke'),
    });
    const own = new Map<number, SpanContext>();
    for (const placed of placeReported(invocation.spans ?? [], facts, times.evaluated, times.ended)) {
      const { report, from, to } = placed;
      const parent = (report.parent === null ? undefined : own.get(report.parent)) ?? invoke;
      const options = { spanId: spanIdOf(trace.invokeSpanId, report.id), ...reportedOptions(placed, common) };
      own.set(report.id, add(report.name, parent, from, to, options));
    }
    for (const message of invocation.queue?.messages ?? []) {
      add(`process ${invocation.queue?.name}`, server, times.evaluated, times.ended, {
        kind: SpanKind.CONSUMER,
        attributes: {
          ...(at('invoke').attributes ?? common),
          ...messagingAttributes(invocation.queue?.name ?? ''),
          [ATTR.messagingMessageId]: message.id,
          [HEARTH_ATTR.messageAttempts]: message.attempts,
        },
        links: producerLinks([message]),
        ...(failure.status === undefined ? {} : { status: failure.status }),
      });
    }
  }
  return spans;
}

type Place = 'acquire' | 'load' | 'invoke';

function placeOfFailure({ facts, error }: FinishedInvocation): Place | null {
  if (facts !== null) return error?.code === 'PROBE_FAILED' ? 'load' : 'invoke';
  return error?.code === 'OVERLOADED' || error?.code === 'NO_CAPACITY' ? 'acquire' : null;
}

/** Epoch ms, rising. */
interface Times {
  started: number;
  arrived: number;
  acquired: number;
  transferred: number;
  compiled: number;
  evaluated: number;
  ended: number;
}

/**
 * Phases laid one after another from the arrival, which for a request is that of its head, before anything was done for
 * it. The clock behind epoch times may be coarser than the one behind phases, so what would leave the server span is cut
 * at its end.
 */
function cutTimes({ startedAtMs, endedAtMs, facts }: FinishedInvocation): Times {
  const started = Math.min(startedAtMs, facts?.arrivedAtMs ?? startedAtMs);
  const ended = Math.max(startedAtMs, endedAtMs);
  const within = (time: number) => Math.min(ended, time);
  if (facts === null) {
    return { started, arrived: started, acquired: ended, transferred: ended, compiled: ended, evaluated: ended, ended };
  }
  const phases: Phases = facts.phases;
  const arrived = within(facts.arrivedAtMs);
  const acquired = within(arrived + phases.wait + (phases.acquire ?? 0));
  const transferred = within(acquired + (phases.transfer ?? 0));
  const compiled = within(transferred + (phases.compile ?? 0));
  const evaluated = within(compiled + (phases.evaluate ?? 0));
  return { started, arrived, acquired, transferred, compiled, evaluated, ended };
}

function commonAttributes(invocation: FinishedInvocation): Attributes {
  const { facts, probe } = invocation;
  const attributes: Attributes = {
    [ATTR.faasTrigger]: FAAS_TRIGGER[invocation.trigger],
    [ATTR.faasName]: invocation.functionName,
    [ATTR.faasVersion]: invocation.version,
    [HEARTH_ATTR.arm]: invocation.arm,
    [ATTR.faasInvocationId]: invocation.invocationId,
  };
  if (facts !== null) {
    attributes[ATTR.faasInstance] = facts.instance;
    // A probe is no one's cold start: a search for cold starts must not find it.
    if (!probe) attributes[ATTR.faasColdstart] = facts.start === 'cold';
  }
  if (probe) attributes[HEARTH_ATTR.probe] = true;
  return attributes;
}

function serverSpan(
  invocation: FinishedInvocation,
  resource: Resource,
  own: SpanContext,
  common: Attributes,
  times: Times,
): ReadableSpan {
  const { trace, http, cron, queue, error, facts } = invocation;
  const attributes: Attributes = { ...common, [HEARTH_ATTR.trustGroup]: invocation.trustGroup };
  if (facts !== null) {
    attributes[HEARTH_ATTR.host] = facts.host;
    attributes[HEARTH_ATTR.attempt] = facts.attempt;
  }
  let status: SpanStatus = { code: SpanStatusCode.UNSET };
  if (http !== undefined) {
    Object.assign(attributes, httpAttributes(http));
    // What the function itself answered with a 5xx is an error by the HTTP conventions, though the invocation went well.
    if ((http.status ?? 0) >= 500) {
      status = { code: SpanStatusCode.ERROR };
      attributes[ATTR.errorType] = String(http.status);
    }
  } else if (cron !== undefined) {
    attributes[ATTR.faasCron] = cron.expression;
    attributes[ATTR.faasTime] = new Date(cron.scheduledTimeMs).toISOString();
    attributes[HEARTH_ATTR.cronLate] = Math.max(0, Math.round(invocation.startedAtMs - cron.scheduledTimeMs));
  } else if (queue !== undefined) {
    Object.assign(attributes, messagingAttributes(queue.name));
    attributes[ATTR.messagingBatchCount] = queue.messages.length;
  } else if (invocation.trigger === 'rpc') {
    attributes[ATTR.rpcSystem] = RPC_SYSTEM;
    attributes[ATTR.rpcMethod] = rpcMethod(invocation);
  }
  if (error !== null) {
    status = errorStatus(error.message);
    attributes[ATTR.errorType] = error.code;
  }
  const parent = trace.parentSpanId === null ? null : context(trace.traceId, trace.parentSpanId, true);
  return new FinishedSpan(
    resource,
    serverName(invocation),
    own,
    parent,
    hrTime(times.started),
    hrTime(times.ended),
    attributes,
    {
      kind: queue === undefined ? SpanKind.SERVER : SpanKind.CONSUMER,
      status,
      ...(queue === undefined ? {} : { links: producerLinks(queue.messages) }),
    },
  );
}

/** By the conventions: `GET /route`, `process QUEUE`, `FUNCTION/method`, and the function's name for a timer. */
function serverName(invocation: FinishedInvocation): string {
  const { http, queue, functionName } = invocation;
  if (http !== undefined) {
    const method = KNOWN_METHODS.has(http.method) ? http.method : 'HTTP';
    return `${method} ${http.route ?? `/${functionName}`}`;
  }
  if (queue !== undefined) return `process ${queue.name}`;
  return invocation.trigger === 'rpc' ? rpcMethod(invocation) : functionName;
}

function rpcMethod({ functionName, rpc }: FinishedInvocation): string {
  return rpc === undefined ? functionName : `${functionName}/${rpc.method}`;
}

/** A method is the client's to choose: others would make as many span names as someone likes to send. */
const KNOWN_METHODS = new Set([
  'CONNECT',
  'DELETE',
  'GET',
  'HEAD',
  'OPTIONS',
  'PATCH',
  'POST',
  'PUT',
  'QUERY',
  'TRACE',
]);

function httpAttributes(http: NonNullable<FinishedInvocation['http']>): Attributes {
  const known = KNOWN_METHODS.has(http.method);
  const attributes: Attributes = {
    [ATTR.httpMethod]: known ? http.method : '_OTHER',
    [ATTR.urlPath]: http.path,
    [ATTR.urlScheme]: 'http',
    [ATTR.serverAddress]: http.host,
  };
  if (!known) attributes[ATTR.httpMethodOriginal] = http.method;
  if (http.status !== null) attributes[ATTR.httpStatus] = http.status;
  if (http.route !== undefined) attributes[ATTR.httpRoute] = http.route;
  return attributes;
}

function messagingAttributes(queue: string): Attributes {
  return {
    [ATTR.messagingSystem]: MESSAGING_SYSTEM,
    [ATTR.messagingDestination]: queue,
    [ATTR.messagingOperation]: 'process',
    [ATTR.messagingOperationType]: 'process',
  };
}

function producerLinks(messages: readonly { traceparent: string | null }[]): Link[] {
  const links: Link[] = [];
  for (const { traceparent } of messages) {
    const producer = traceparent === null ? null : parseTraceparent(traceparent);
    if (producer === null) continue;
    links.push({
      context: { ...context(producer.traceId, producer.spanId, true), traceFlags: producer.sampled ? 1 : 0 },
    });
  }
  return links;
}

function errorStatus(message: string): SpanStatus {
  return { code: SpanStatusCode.ERROR, message };
}

function withError(attributes: Attributes, code: string): Attributes {
  return { ...attributes, [ATTR.errorType]: code };
}

/** Whatever is made here is exported, so it says sampled. */
function context(traceId: string, spanId: string, isRemote = false): SpanContext {
  return { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote };
}
