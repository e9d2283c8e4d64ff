/**
 * The dispatcher. On the path of every call: three objects per invocation (what is kept, the relay of the answer, the
 * handle), no promise and no closure in `dispatch`.
 */
import { ERRORS, HearthError, toHearthError } from '../../functions/contract/errors.ts';
import type { ResultHead } from '../../functions/contract/invocation.ts';
import { MAX_HOPS } from '../../functions/contract/limits.ts';
import type { InvokeCall, InvokeFacts, InvokeHandle, InvokeSink, Keeper, ModuleSpec } from '../../pool/keeper/api.ts';
import type { VersionEntry } from '../registry/registry.ts';
import type { Logger } from '../telemetry/log.ts';
import { ARM } from '../telemetry/names.ts';
import type { FinishedInvocation, Telemetry, TraceContext } from '../telemetry/telemetry.ts';
import { createCall } from './call.ts';
import type { CallContext, Dispatched, Dispatcher, DispatchSink, TriggerHead } from './dispatcher.ts';
import { Invocations, KeptInvocation } from './invocations.ts';

/** Ended invocations kept in memory. */
const MOST_ENDED = 5000;

export interface DispatcherParts {
  keeper: Pick<Keeper, 'invoke'>;
  telemetry: Pick<Telemetry, 'begin' | 'traceparent' | 'finished'>;
  /** Epoch ms. */
  now(): number;
  newId(): string;
  log: Logger;
  /** An invocation failed by its function's doing: what its owner has to read, which callers never do. */
  functionFailed(failure: FunctionFailure): void;
}

export interface FunctionFailure {
  spec: ModuleSpec;
  invocationId: string;
  /** Null when it never got to a base. */
  instance: string | null;
  error: HearthError;
}

/** What `dispatch` takes beyond the interface: see CallOptions. */
export interface DispatchExtras {
  invocationId: string | undefined;
  producers: (string | null)[] | undefined;
  /** Called once, when the slot is free. */
  released: () => void;
}

export function createDispatcher(parts: DispatcherParts): Dispatcher {
  const { keeper, telemetry, now, newId, log, functionFailed } = parts;
  const invocations = new Invocations(MOST_ENDED);

  function start(
    version: VersionEntry,
    head: TriggerHead,
    context: CallContext,
    sink: DispatchSink,
    extras: DispatchExtras | null,
    arm: string,
  ): Dispatched {
    const id = extras?.invocationId ?? newId();
    const spec = version.spec;
    const trace = telemetry.begin(context.traceparent);
    const traceparent = telemetry.traceparent(trace);
    const kept = new KeptInvocation(id, spec, head.trigger, now(), trace.traceId, traceparent, context.hops, arm);
    const relay = new Relay(kept, version, head, trace, sink, extras, finish);
    const dispatched = new Handle(id, version, relay);
    invocations.begun(kept);
    if (context.hops > MAX_HOPS) {
      refuse(relay, new HearthError('LOOP_DETECTED', `Hop ${context.hops} of functions calling functions.`));
      return dispatched;
    }
    const call = { ...head, kind: 'invoke', invocationId: id, hops: context.hops, traceparent } as InvokeCall;
    try {
      relay.handle = keeper.invoke(spec, call, relay, context.arrivedAt);
    } catch (error) {
      log.error('The keeper threw instead of reporting.', { error, invocation_id: id, function: spec.functionName });
      refuse(relay, toHearthError(error));
    }
    return dispatched;
  }

  function finish(relay: Relay): void {
    const endedAtMs = now();
    const { failure } = relay;
    if (failure !== null && ERRORS[failure.error.code].fault === 'function') functionFailed(failure);
    invocations.ended(relay.kept, endedAtMs);
    try {
      telemetry.finished(relay.finished(endedAtMs));
    } catch (error) {
      log.error('Telemetry of an invocation was lost.', { error, invocation_id: relay.kept.id });
    }
  }

  return {
    dispatch: (_entry, version, head, context, sink, arm = ARM.split) => start(version, head, context, sink, null, arm),
    call: createCall(start),
    context: (invocationId, spec) => invocations.context(invocationId, spec),
    reported: (spec, invocationId, spans) => invocations.reported(spec, invocationId, spans),
    invocation: (id) => invocations.get(id),
    recent: (functionName, most) => invocations.recent(functionName, most),
  };
}

/** Ends an invocation that never reached the keeper, once `dispatch` has returned. */
function refuse(relay: Relay, error: HearthError): void {
  relay.failed(error, null);
  relay.released();
}

/** Between keeper and sink: notes what the record and telemetry need. */
class Relay implements InvokeSink {
  readonly kept: KeptInvocation;
  handle: InvokeHandle | null = null;
  aborted: string | null = null;
  private readonly version: VersionEntry;
  private readonly trigger: TriggerHead;
  private readonly trace: TraceContext;
  private readonly sink: DispatchSink;
  private readonly extras: DispatchExtras | null;
  private readonly finish: (relay: Relay) => void;
  private headAtMs: number | null = null;
  private error: HearthError | null = null;
  private broken: HearthError | null = null;
  private wasReleased = false;

  constructor(
    kept: KeptInvocation,
    version: VersionEntry,
    trigger: TriggerHead,
    trace: TraceContext,
    sink: DispatchSink,
    extras: DispatchExtras | null,
    finish: (relay: Relay) => void,
  ) {
    this.kept = kept;
    this.version = version;
    this.trigger = trigger;
    this.trace = trace;
    this.sink = sink;
    this.extras = extras;
    this.finish = finish;
  }

  head(head: ResultHead, facts: InvokeFacts): void {
    // `run` and `wait` end at the head, so this is the moment without another reading of the clock.
    this.headAtMs = facts.arrivedAtMs + sumOf(facts);
    const kept = this.kept;
    kept.facts = facts;
    kept.attempts = facts.attempt;
    if (head.kind === 'response') kept.status = head.status;
    else if ((head.kind === 'queue-result' || head.kind === 'rpc-result') && head.error != null) {
      this.error = new HearthError('FUNCTION_EXCEPTION', `${head.error.name}: ${head.error.message}`);
    }
    this.sink.head(head, facts);
  }

  data(chunk: Uint8Array): void {
    this.sink.data(chunk);
  }

  end(): void {
    this.sink.end();
  }

  drain(): void {
    this.sink.drain();
  }

  failed(error: HearthError, facts: InvokeFacts | null): void {
    this.error = error;
    this.broken = error;
    if (facts !== null) {
      this.kept.facts = facts;
      this.kept.attempts = facts.attempt;
    }
    if (this.handle === null) queueMicrotask(() => this.tellFailed(error, facts));
    else this.sink.failed(error, facts);
  }

  released(): void {
    if (this.wasReleased) return;
    this.wasReleased = true;
    const { kept, error, aborted } = this;
    kept.state = error === null && aborted === null ? 'ok' : 'error';
    if (error !== null) kept.error = { code: error.code, message: error.message };
    else if (aborted !== null) kept.error = { code: 'ABORTED', message: aborted };
    this.finish(this);
    if (this.extras === null) return;
    if (this.handle === null) queueMicrotask(this.extras.released);
    else this.extras.released();
  }

  /** What it failed with; a batch whose handler threw has answered, and said so in its own log. */
  get failure(): FunctionFailure | null {
    const { kept, broken: error, version } = this;
    if (error === null) return null;
    return { spec: version.spec, invocationId: kept.id, instance: kept.facts?.instance ?? null, error };
  }

  finished(endedAtMs: number): FinishedInvocation {
    const { kept, error, trigger } = this;
    kept.endedAt = endedAtMs;
    const finished: FinishedInvocation = {
      trace: this.trace,
      invocationId: kept.id,
      functionName: kept.functionName,
      version: kept.version,
      arm: kept.arm,
      trustGroup: this.version.spec.trustGroup,
      trigger: kept.trigger,
      probe: false,
      startedAtMs: kept.startedAt,
      headAtMs: this.headAtMs,
      endedAtMs,
      facts: kept.facts,
      error: error === null ? null : { code: error.code, message: error.message },
    };
    if (kept.spans !== null) {
      finished.spans = kept.spans;
      // Of an invocation that is over nobody asks for them.
      kept.spans = null;
    }
    switch (trigger.trigger) {
      case 'http':
        finished.http = { method: trigger.method, ...placeOf(trigger.url), status: kept.status };
        break;
      case 'cron':
        finished.cron = { expression: trigger.cron, scheduledTimeMs: trigger.scheduledTime };
        break;
      case 'queue': {
        const producers = this.extras?.producers;
        finished.queue = {
          name: trigger.queue,
          messages: trigger.messages.map(({ id, attempts }, i) => ({
            id,
            attempts,
            traceparent: producers?.[i] ?? null,
          })),
        };
        break;
      }
      case 'rpc':
        break;
    }
    return finished;
  }

  private tellFailed(error: HearthError, facts: InvokeFacts | null): void {
    if (this.aborted === null) this.sink.failed(error, facts);
  }
}

class Handle implements Dispatched {
  readonly invocationId: string;
  readonly version: VersionEntry;
  private readonly relay: Relay;

  constructor(invocationId: string, version: VersionEntry, relay: Relay) {
    this.invocationId = invocationId;
    this.version = version;
    this.relay = relay;
  }

  write(chunk: Uint8Array): boolean {
    return this.relay.handle === null ? true : this.relay.handle.write(chunk);
  }

  end(): void {
    this.relay.handle?.end();
  }

  consumed(bytes: number): void {
    this.relay.handle?.consumed(bytes);
  }

  abort(reason: string): void {
    this.relay.aborted ??= reason;
    this.relay.handle?.abort(reason);
  }
}

function sumOf(facts: InvokeFacts): number {
  const { wait, run, acquire = 0, transfer = 0, compile = 0, evaluate = 0 } = facts.phases;
  return wait + run + acquire + transfer + compile + evaluate;
}

/** Host and path of an absolute URL, without the cost of parsing it. */
function placeOf(url: string): { host: string; path: string } {
  const queryAt = url.indexOf('?');
  const place = queryAt === -1 ? url : url.slice(0, queryAt);
  const scheme = place.indexOf('://');
  const hostAt = scheme === -1 ? 0 : scheme + 3;
  const pathAt = place.indexOf('/', hostAt);
  return pathAt === -1
    ? { host: place.slice(hostAt), path: '/' }
    : { host: place.slice(hostAt, pathAt), path: place.slice(pathAt) };
}
