/** `hearth.counters` in `env`. */
import type { CounterCall } from '../../../functions/contract/service-calls.ts';
import type { Counters } from '../../../functions/contract/services.ts';
import type { BindingCalls } from './call.ts';

export function counters(calls: BindingCalls): Counters {
  const ask = async (call: CounterCall) => (await calls.ask<{ value: number }>(call)).value;
  return {
    increment(name, by = 1) {
      if (!Number.isSafeInteger(by)) return Promise.reject(new TypeError('A counter counts in safe integers.'));
      return ask({ op: 'counter.add', counter: name, by });
    },
    get: (name) => ask({ op: 'counter.get', counter: name }),
    next: (name) => ask({ op: 'counter.next', counter: name }),
    async reset(name) {
      await ask({ op: 'counter.delete', counter: name });
    },
  };
}
