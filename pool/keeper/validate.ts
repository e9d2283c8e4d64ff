/**
 * What comes from a base is hostile until checked: heads and events, by hand, since these stand on the request path.
 * A wrong one throws ProtocolViolation, and the link ends with it.
 */
import type { BaseEvent, BindingCallHead, LoadedHead, ResultHead } from '../../functions/contract/invocation.ts';
import { MAX_DELAY_S } from '../../functions/contract/limits.ts';
import { ProtocolViolation } from '../link/frames.ts';
import { isSpanNumber, isSpansEvent } from './span-event.ts';

type Fields = Record<string, unknown>;

const RESULT_KINDS = { http: 'response', cron: 'cron-result', queue: 'queue-result', rpc: 'rpc-result' } as const;
const HANDLERS = new Set(['fetch', 'scheduled', 'queue', 'rpc', 'node-http']);

export function resultHead(value: unknown, trigger: keyof typeof RESULT_KINDS): ResultHead {
  const head = fields(value);
  if (head.kind !== RESULT_KINDS[trigger]) throw new ProtocolViolation(`a ${trigger} answer of another kind`);
  if (!isTime(head.calledAt) || typeof head.waiting !== 'boolean') throw new ProtocolViolation('a result head');
  if (trigger === 'http') checkResponse(head);
  if (trigger === 'queue') checkVerdicts(head);
  if (trigger === 'rpc' && head.error !== undefined) checkError(head.error);
  return head as unknown as ResultHead;
}

function checkResponse(head: Fields): void {
  const status = head.status;
  if (!Number.isInteger(status) || (status as number) < 101 || (status as number) > 599) {
    throw new ProtocolViolation('a status');
  }
  if (typeof head.statusText !== 'string' || typeof head.webSocket !== 'boolean') {
    throw new ProtocolViolation('a response head');
  }
  const headers = head.headers;
  if (!Array.isArray(headers)) throw new ProtocolViolation('headers');
  for (const pair of headers) {
    if (!Array.isArray(pair) || typeof pair[0] !== 'string' || typeof pair[1] !== 'string') {
      throw new ProtocolViolation('a header');
    }
  }
}

function checkVerdicts(head: Fields): void {
  const verdicts = head.verdicts;
  if (!Array.isArray(verdicts)) throw new ProtocolViolation('verdicts');
  for (const item of verdicts) {
    const { id, verdict, delayS } = fields(item);
    const known = verdict === 'ack' || (verdict === 'retry' && (delayS === null || isDelay(delayS)));
    if (typeof id !== 'string' || !known) throw new ProtocolViolation('a verdict');
  }
  if (head.error !== null) checkError(head.error);
}

function checkError(error: unknown): void {
  const { name, message } = fields(error);
  if (typeof name !== 'string' || typeof message !== 'string') throw new ProtocolViolation('an error');
}

export function loadedHead(value: unknown): LoadedHead {
  const head = fields(value);
  const times = [head.receivedAt, head.compiledAt, head.evaluatedAt];
  const handlers = head.handlers;
  if (head.kind !== 'loaded' || !times.every(isTime)) throw new ProtocolViolation('a loaded head');
  if (!Array.isArray(handlers) || !handlers.every((name) => HANDLERS.has(name)))
    throw new ProtocolViolation('handlers');
  return head as unknown as LoadedHead;
}

/** Only the outline: the gateway's bindings check each call against what the module may use. */
export function bindingCall(value: unknown): BindingCallHead {
  const head = fields(value);
  const { invocationId, within, span } = head;
  if (head.kind !== 'binding' || typeof head.module !== 'string' || typeof head.binding !== 'string') {
    throw new ProtocolViolation('a binding call');
  }
  if (invocationId !== null && typeof invocationId !== 'string') throw new ProtocolViolation('an invocation id');
  if (span !== undefined && !isSpanNumber(span)) throw new ProtocolViolation('a span');
  if (within !== undefined) {
    const { hops, traceparent } = fields(within);
    if (!isTime(hops) || !Number.isInteger(hops) || typeof traceparent !== 'string') {
      throw new ProtocolViolation('a place in a chain of calls');
    }
  }
  if (typeof fields(head.call).op !== 'string') throw new ProtocolViolation('an operation');
  return head as unknown as BindingCallHead;
}

export function baseEvent(value: unknown): BaseEvent {
  const event = fields(value);
  const bad = () => new ProtocolViolation(`an event ${String(event.event).slice(0, 20)}`);
  switch (event.event) {
    case 'started': {
      const streams = event.streams;
      if (!Array.isArray(streams) || !streams.every(Number.isInteger)) throw bad();
      break;
    }
    case 'settled':
      if (typeof event.invocationId !== 'string') throw bad();
      break;
    case 'log': {
      const lines = event.lines;
      if (!Array.isArray(lines) || !lines.every(isLogLine) || !isTime(event.dropped)) throw bad();
      break;
    }
    case 'spans':
      if (!isSpansEvent(event)) throw bad();
      break;
    case 'broken':
      if (typeof event.reason !== 'string') throw bad();
      break;
    case 'used': {
      const { modules, calls, failed } = event;
      if (!Array.isArray(modules) || !modules.every((module) => typeof module === 'string')) throw bad();
      for (const counts of [calls, failed]) {
        if (!Array.isArray(counts) || counts.length !== modules.length || !counts.every(isTime)) throw bad();
      }
      break;
    }
    case 'hello': {
      const { base, token, protocol } = event;
      if (typeof base !== 'string' || typeof token !== 'string' || !isTime(protocol)) throw bad();
      break;
    }
    default:
      throw bad();
  }
  return event as unknown as BaseEvent;
}

const LEVELS = new Set(['trace', 'debug', 'info', 'warn', 'error']);

function isLogLine(value: unknown): boolean {
  const line = fields(value);
  const { invocationId, level, span } = line;
  return (
    isDate(line.time) &&
    typeof level === 'string' &&
    LEVELS.has(level) &&
    typeof line.module === 'string' &&
    typeof line.message === 'string' &&
    (invocationId === null || typeof invocationId === 'string') &&
    (span === undefined || isSpanNumber(span))
  );
}

function isTime(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

/** What a Date can hold, so that writing it down never throws. */
function isDate(value: unknown): boolean {
  return isTime(value) && (value as number) <= 8.64e15;
}

/** Seconds; a number that a store can add to the time of day. */
function isDelay(value: unknown): boolean {
  return isTime(value) && (value as number) <= MAX_DELAY_S;
}

function fields(value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new ProtocolViolation('not an object');
  return value as Fields;
}
