/** The gateway's side of `env`: finds the binding a module calls among its own, checks the call, and answers it. */
import { HearthError, toHearthError } from '../../functions/contract/errors.ts';
import type { BindingCallHead, BindingSpec } from '../../functions/contract/invocation.ts';
import { traceparentUnder } from '../../functions/contract/span.ts';
import type { KeeperHooks, ModuleSpec } from '../../pool/keeper/api.ts';
import type { Exchange } from '../../pool/link/link.ts';
import type { Registry } from '../registry/registry.ts';
import type { KvStore } from '../store/api/kv.ts';
import type { Logger } from '../telemetry/log.ts';
import { parseTraceparent } from '../telemetry/traceparent.ts';
import type { CallContext, Dispatcher } from '../triggers/dispatcher.ts';
import type { Queues } from '../triggers/queue/queues.ts';
import { BodyBudget, NO_BODY } from './body.ts';
import { checkCall } from './calls.ts';
import { kvCall, storedNamespace } from './kv.ts';
import { queueCall } from './queue.ts';
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
  store: { kv: KvStore };
  queues: Pick<Queues, 'enqueue'>;
  registry: Pick<Registry, 'function' | 'isOpen'>;
  dispatcher: Pick<Dispatcher, 'dispatch' | 'context'>;
  /** Epoch ms. */
  now(): number;
  log: Logger;
}

/**
 * What KeeperHooks.binding is. The exchange is answered, or cancelled with a code of the error table: FORBIDDEN for a
 * binding the module does not have and for another function's invocation, BAD_REQUEST for a malformed call.
 */
export function createBindings(parts: BindingParts): KeeperHooks['binding'] {
  const { store, queues, registry, dispatcher, now, log } = parts;
  const budget = new BodyBudget(MOST_BODY_BYTES, MOST_GROUP_BODY_BYTES);
  const kvParts = { store: store.kv, gate: new ReadGate(), now };
  const serviceParts = { registry, dispatcher };

  function begin(spec: ModuleSpec, binding: BindingSpec, head: BindingCallHead, exchange: Exchange) {
    const caller = dispatcher.context(head.invocationId, spec);
    if (caller === null) throw new HearthError('FORBIDDEN', "The invocation is another function's.");
    const context = continued(caller, head);
    const room = { budget, trustGroup: spec.trustGroup };
    const { name } = binding;
    switch (binding.kind) {
      case 'kv':
        return kvCall(
          kvParts,
          storedNamespace(spec.trustGroup, binding.namespace),
          checkCall('kv', name, head.call),
          room,
          exchange,
        );
      case 'queue':
        return queueCall(queues, binding, checkCall('queue', name, head.call), context, room, exchange);
      case 'service':
        serviceCall(serviceParts, spec, binding, checkCall('service', name, head.call), context, room, exchange);
        return null;
    }
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
      if (binding === undefined) {
        const name = head.binding.slice(0, 100);
        throw new HearthError('FORBIDDEN', `"${spec.functionName}" has no binding "${name}" in its manifest.`);
      }
      begin(spec, binding, head, exchange)?.catch((error: unknown) => refuse(spec, error, exchange));
    } catch (error) {
      refuse(spec, error, exchange);
    }
  };
}
