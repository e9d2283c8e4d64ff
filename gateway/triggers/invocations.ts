/** What is remembered of invocations: those that run, and the last few thousand that have ended. */
import { MAX_SPANS, MAX_SPANS_CHARS, type SpanReport, spanChars } from '../../functions/contract/span.ts';
import type { InvokeFacts, ModuleSpec } from '../../pool/keeper/api.ts';
import { Table } from '../../pool/link/table.ts';
import { ARM } from '../telemetry/names.ts';
import type { CallContext, InvocationRecord } from './dispatcher.ts';

/** A record with its place in the chain of calls. One object per invocation, changed as it goes on. */
export class KeptInvocation implements InvocationRecord {
  readonly id: string;
  readonly functionName: string;
  readonly version: string;
  readonly arm: string;
  readonly trigger: InvocationRecord['trigger'];
  readonly startedAt: number;
  readonly traceId: string;
  /** Of the invoke span: the parent of what the function calls. */
  readonly traceparent: string;
  readonly hops: number;
  state: InvocationRecord['state'] = 'running';
  endedAt: number | null = null;
  attempts = 1;
  facts: InvokeFacts | null = null;
  status: number | null = null;
  error: { code: string; message: string } | null = null;
  /** What its base has told of it so far. */
  spans: SpanReport[] | null = null;
  spanChars = 0;
  nextInTable: KeptInvocation | null = null;

  constructor(
    id: string,
    spec: ModuleSpec,
    trigger: InvocationRecord['trigger'],
    startedAt: number,
    traceId: string,
    traceparent: string,
    hops: number,
    arm: string = ARM.split,
  ) {
    this.id = id;
    this.functionName = spec.functionName;
    this.version = spec.version;
    this.arm = arm;
    this.trigger = trigger;
    this.startedAt = startedAt;
    this.traceId = traceId;
    this.traceparent = traceparent;
    this.hops = hops;
  }
}

/**
 * Of ordinary calls (answered, warm) so many a second are kept; cold starts, errors and other triggers always. Keeping
 * each of 20,000 a second showed a quarter of a second of them, and moved them all into the old generation: 10 to 20 %
 * of the gateway's CPU.
 */
const ORDINARY_PER_SECOND = 200;

const BACKGROUND: CallContext = { traceparent: null, hops: 0 };

/**
 *   ring   [ e₄ | e₅ | e₁ | e₂ | e₃ ]      ended ones, oldest overwritten
 *                     ↑ next
 *
 * Running ones are kept beside it until they end, however long they take.
 */
export class Invocations {
  private readonly ring: (KeptInvocation | undefined)[];
  private next = 0;
  private readonly byId = new Table<string, KeptInvocation>(hashOf);
  /** The second of the last ordinary call, and how many of it were kept. */
  private second = 0;
  private keptOfSecond = 0;

  constructor(mostEnded: number) {
    this.ring = new Array<KeptInvocation | undefined>(mostEnded).fill(undefined);
  }

  begun(invocation: KeptInvocation): void {
    // A repeated attempt has the id of the one before, and is the one to be found from now on.
    const before = this.byId.get(invocation.id);
    if (before !== undefined) this.byId.delete(before);
    this.byId.add(invocation);
  }

  ended(invocation: KeptInvocation, nowMs: number): void {
    if (isOrdinary(invocation) && !this.mayKeep(nowMs)) {
      this.byId.delete(invocation);
      return;
    }
    const oldest = this.ring[this.next];
    if (oldest !== undefined) this.byId.delete(oldest);
    this.ring[this.next] = invocation;
    this.next = (this.next + 1) % this.ring.length;
  }

  private mayKeep(nowMs: number): boolean {
    const second = Math.floor(nowMs / 1000);
    if (second !== this.second) {
      this.second = second;
      this.keptOfSecond = 0;
    }
    this.keptOfSecond++;
    return this.keptOfSecond <= ORDINARY_PER_SECOND;
  }

  get(id: string): KeptInvocation | undefined {
    return this.byId.get(id);
  }

  /** Newest first: running ones, then ended ones. */
  recent(functionName: string, most: number): KeptInvocation[] {
    const found = this.byId
      .entries()
      .filter((kept) => kept.state === 'running' && kept.functionName === functionName)
      .sort((a, b) => b.startedAt - a.startedAt);
    for (let back = 1; back <= this.ring.length && found.length < most; back++) {
      const invocation = this.ring[(this.next - back + this.ring.length) % this.ring.length];
      if (invocation === undefined) break;
      if (invocation.functionName === functionName) found.push(invocation);
    }
    return found.slice(0, most);
  }

  /** See Dispatcher.reported. */
  reported(spec: ModuleSpec, invocationId: string, spans: readonly SpanReport[]): void {
    const invocation = this.byId.get(invocationId);
    if (invocation === undefined || invocation.state !== 'running') return;
    if (invocation.functionName !== spec.functionName || invocation.version !== spec.version) return;
    invocation.spans ??= [];
    for (const span of spans) {
      invocation.spanChars += spanChars(span);
      if (invocation.spans.length >= MAX_SPANS || invocation.spanChars > MAX_SPANS_CHARS) return;
      invocation.spans.push(span);
    }
  }

  /** See Dispatcher.context. */
  context(invocationId: string | null, spec: ModuleSpec): CallContext | null {
    const invocation = invocationId === null ? undefined : this.byId.get(invocationId);
    if (invocation === undefined) return BACKGROUND;
    return invocation.functionName === spec.functionName ? invocation : null;
  }
}

function isOrdinary(invocation: KeptInvocation): boolean {
  return invocation.trigger === 'http' && invocation.state === 'ok' && invocation.facts?.start === 'warm';
}

/** Ids end in random hex digits (ids.ts); those of others are spread well enough by their last characters too. */
function hashOf(id: string): number {
  const { length } = id;
  let hash = 0;
  for (let at = Math.max(0, length - 5); at < length; at++) hash = (hash * 32 + (id.charCodeAt(at) & 31)) | 0;
  return hash >>> 0;
}
