/** Rate limits that functions ask for themselves. */
import type { BindingSpec } from '../../functions/contract/invocation.ts';
import type { Exchange } from '../../pool/link/link.ts';
import type { Rates } from '../rates.ts';
import { NO_BODY } from './body.ts';
import type { CheckedCalls } from './calls.ts';

/** Answers `{success}`. */
export function rateCall(
  rates: Rates,
  { namespace, limit, periodS }: Extract<BindingSpec, { kind: 'ratelimit' }>,
  trustGroup: string,
  { key }: CheckedCalls['ratelimit'],
  exchange: Exchange,
): void {
  exchange.handler = NO_BODY;
  const waitMs = rates.take(trustGroup, `binding/${namespace}`, { limit, periodMs: periodS * 1000 }, key);
  exchange.sendHead({ success: waitMs === 0 }, null, true);
}
