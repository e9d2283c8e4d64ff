/** The gateway's side of `env`: finds the binding a module calls among its own, checks the call, and answers it. */
import { HearthError, toHearthError } from '../../functions/contract/errors.ts';
import type { BindingCallHead, BindingSpec } from '../../functions/contract/invocation.ts';
import type { OutboundSpec } from '../../functions/contract/service-calls.ts';
import { traceparentUnder } from '../../functions/contract/span.ts';
import type { KeeperHooks, ModuleSpec } from '../../pool/keeper/api.ts';
import type { Exchange } from '../../pool/link/link.ts';
import type { AssetLibrary } from '../ingress/assets/library.ts';
import type { Rates } from '../rates.ts';
import type { Registry } from '../registry/registry.ts';
import type { Store } from '../store/store.ts';
import type { Logger } from '../telemetry/log.ts';
import { parseTraceparent } from '../telemetry/traceparent.ts';
import type { CallContext, Dispatcher } from '../triggers/dispatcher.ts';
import type { Queues } from '../triggers/queue/queues.ts';
import type { Timers } from '../triggers/timers.ts';
import type { Topics } from '../triggers/topics.ts';
import { assetsCall } from './assets.ts';
import { BodyBudget, type BodyRoom, NO_BODY } from './body.ts';
import { type CheckedCalls, checkCall } from './calls.ts';
import type { Configs } from './configs.ts';
import { counterCall } from './counters.ts';
import { fileCall } from './files.ts';
import { kvCall, storedNamespace } from './kv.ts';
import { createLocks } from './locks.ts';
import { sendCall } from './queue.ts';
import { rateCall } from './rate.ts';
import { ReadGate } from './read-gate.ts';
import { serviceCall } from './service.ts';

/** One hop more, under the caller's span. What was called from beside it, past the gateway, says itself where it stands. */
function continued({ traceparent, hops }: CallContext, { within, span }: BindingCallHead): CallContext {
  if (within === undefined) {
    const under = traceparent !== null && span !== undefined ? traceparentUnder(traceparent, span) : traceparent;
    return { traceparent: under, hops: hops + 1 };
  }
  const known = parseTraceparent(within.traceparent) !== null ? within.traceparent : null;
  return { traceparent: traceparent ?? known, hops: Math.max(hops, within.hops) + 1 };
}

/** Bodies of kv.put and queue.send in memory at once: over all modules, and of one trust group. */
const MOST_BODY_BYTES = 256 * 1024 * 1024;
const MOST_GROUP_BODY_BYTES = 64 * 1024 * 1024;

export interface BindingParts {
  store: Pick<Store, 'kv' | 'files' | 'locks' | 'counters'>;
  assets: AssetLibrary;
  queues: Pick<Queues, 'enqueue'>;
  topics: Pick<Topics, 'publish'>;
  registry: Pick<Registry, 'function' | 'isOpen'>;
  dispatcher: Pick<Dispatcher, 'dispatch' | 'context'>;
  configs: Configs;
  rates: Rates;
  /** Bytes of one file. */
  maxFileBytes: number;
  timers: Timers;
  newId(): string;
  /** Epoch ms. */
  now(): number;
  log: Logger;
}

/** Where a call stands, whichever binding it is of. */
interface Place {
  spec: ModuleSpec;
  context: CallContext;
  room: BodyRoom;
  exchange: Exchange;
  /** As the store knows a name that means something within the caller's trust group. */
  stored(namespace: string): string;
}

type Served = keyof CheckedCalls;
/** The others are the base's own. */
type ServedSpec = Exclude<BindingSpec, OutboundSpec>;
type Serve<Kind extends Served> = (
  binding: Extract<ServedSpec, { kind: Kind }>,
  call: CheckedCalls[Kind],
  place: Place,
) => Promise<void> | null;

/**
 * What KeeperHooks.binding is. The exchange is answered, or cancelled with a code of the error table: FORBIDDEN for a
 * binding the module does not have and for another function's invocation, BAD_REQUEST for a malformed call.
 */
export function createBindings(parts: BindingParts): KeeperHooks['binding'] {
  const { store, queues, topics, registry, dispatcher, now, log } = parts;
  const budget = new BodyBudget(MOST_BODY_BYTES, MOST_GROUP_BODY_BYTES);
  const gate = new ReadGate();
  const kvParts = { store: store.kv, gate, now };
  const fileParts = { store: store.files, gate, mostBytes: parts.maxFileBytes, newId: parts.newId, now };
  const locks = createLocks({ store: store.locks, timers: parts.timers, now, log });
  const serviceParts = { registry, dispatcher };

  const serve: { [Kind in Served]: Serve<Kind> } = {
    kv: ({ namespace }, call, { stored, room, exchange }) => kvCall(kvParts, stored(namespace), call, room, exchange),
    queue: ({ queue, deliveryDelayS = null }, call, { context, room, exchange }) =>
      sendCall((messages) => queues.enqueue(queue, messages, context), call, deliveryDelayS, room, exchange),
    topic: ({ topic }, call, { spec, context, room, exchange }) =>
      sendCall((messages) => topics.publish(spec.trustGroup, topic, messages, context), call, null, room, exchange),
    service(binding, call, { spec, context, room, exchange }) {
      serviceCall(serviceParts, spec, binding, call, context, room, exchange);
      return null;
    },
    assets: (binding, call, { spec, exchange }) =>
      assetsCall({ library: parts.assets, gate }, spec, binding, call, exchange),
    r2: ({ bucket }, call, { stored, room, exchange }) => fileCall(fileParts, stored(bucket), call, room, exchange),
    lock: ({ namespace }, call, { spec, stored, exchange }) =>
      locks.call(stored(namespace), spec.trustGroup, call, exchange),
    counter: ({ namespace }, call, { stored, exchange }) =>
      counterCall(store.counters, stored(namespace), call, exchange),
    ratelimit(binding, call, { spec, exchange }) {
      rateCall(parts.rates, binding, spec.trustGroup, call, exchange);
      return null;
    },
    config: ({ namespace }, call, { stored, exchange }) => parts.configs.call(stored(namespace), call, exchange),
  };

  function begin<Kind extends Served>(
    spec: ModuleSpec,
    binding: Extract<ServedSpec, { kind: Kind }>,
    head: BindingCallHead,
    exchange: Exchange,
  ): Promise<void> | null {
    const caller = dispatcher.context(head.invocationId, spec);
    if (caller === null) throw new HearthError('FORBIDDEN', "The invocation is another function's.");
    const { trustGroup } = spec;
    const kind: Kind = binding.kind;
    return serve[kind](binding, checkCall(kind, binding.name, head.call), {
      spec,
      context: continued(caller, head),
      room: { budget, trustGroup },
      exchange,
      stored: (namespace) => storedNamespace(trustGroup, namespace),
    });
  }

  function refuse(spec: ModuleSpec, thrown: unknown, exchange: Exchange): void {
    const { code, message } = toHearthError(thrown);
    if (code === 'INTERNAL' && !(thrown instanceof HearthError)) {
      log.error('A binding failed.', { function: spec.functionName, error: thrown });
    }
    exchange.cancel({ code, message });
  }

  return (spec, head, exchange) => {
    exchange.handler = NO_BODY;
    try {
      const binding = spec.bindings.find(({ name }) => name === head.binding);
      if (binding === undefined || binding.kind === 'outbound') {
        const name = head.binding.slice(0, 100);
        throw new HearthError('FORBIDDEN', `"${spec.functionName}" has no binding "${name}" in its manifest.`);
      }
      begin(spec, binding, head, exchange)?.catch((error: unknown) => refuse(spec, error, exchange));
    } catch (error) {
      refuse(spec, error, exchange);
    }
  };
}
