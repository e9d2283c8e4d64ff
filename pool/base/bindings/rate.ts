/** `ratelimits` in `env`. */
import type { RateLimit } from '../../../functions/contract/services.ts';
import type { BindingCalls } from './call.ts';

export function rateLimit(calls: BindingCalls): RateLimit {
  return {
    async limit({ key }) {
      if (typeof key !== 'string') throw new TypeError('limit() takes { key }, a string.');
      return { success: (await calls.ask<{ success: boolean }>({ op: 'ratelimit.limit', key })).success };
    },
  };
}
