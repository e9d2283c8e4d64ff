/** The bindings of one module, as the objects its `env` holds. */
import type { BindingSpec } from '../../../functions/contract/invocation.ts';
import { FarEntrypoint, type FarOptions } from '../rpc/far.ts';
import { assetsBinding } from './assets.ts';
import { Breaker } from './breaker.ts';
import { BindingCalls, type CallContext } from './call.ts';
import { ConfigBinding } from './config.ts';
import { counters } from './counters.ts';
import type { DirectCalls } from './direct.ts';
import { DirectEntrypoint } from './direct-methods.ts';
import { FileBinding } from './files.ts';
import { kvNamespace } from './kv.ts';
import { locks } from './locks.ts';
import { outbound } from './outbound.ts';
import { queueProducer, topicPublisher } from './queue.ts';
import { rateLimit } from './rate.ts';
import { serviceBinding } from './service.ts';

/** `now`: epoch ms. */
export function bindingObjects(
  specs: readonly BindingSpec[],
  context: CallContext,
  now: () => number,
  rpc: FarOptions,
  direct: DirectCalls | null = null,
): Record<string, unknown> {
  return Object.fromEntries(
    specs.map((spec) => [spec.name, binding(spec, new BindingCalls(context, spec.name), now, rpc, direct)]),
  );
}

function binding(
  spec: BindingSpec,
  calls: BindingCalls,
  now: () => number,
  rpc: FarOptions,
  direct: DirectCalls | null,
): unknown {
  switch (spec.kind) {
    case 'kv':
      return kvNamespace(calls, now);
    case 'queue':
      return queueProducer(calls, spec.deliveryDelayS);
    case 'service': {
      const far = new FarEntrypoint(calls, rpc);
      const breaker = spec.breaker === undefined ? null : new Breaker(spec.name, spec.breaker, () => performance.now());
      if (direct === null) return serviceBinding(calls, null, far, breaker);
      const near = new DirectEntrypoint(direct, spec, far);
      return serviceBinding(calls, (request) => direct.call(spec, request), near, breaker);
    }
    case 'assets':
      return assetsBinding(calls);
    case 'r2':
      return new FileBinding(calls);
    case 'lock':
      return locks(calls);
    case 'counter':
      return counters(calls);
    case 'outbound':
      return outbound(spec, {
        fetch: (request) => globalThis.fetch(request),
        now: () => performance.now(),
        random: Math.random,
      });
    case 'topic':
      return topicPublisher(calls);
    case 'ratelimit':
      return rateLimit(calls);
    case 'config':
      return new ConfigBinding(calls);
    default:
      return spec satisfies never;
  }
}
