/** What a host is bound to by its first lease, as one text that can be compared. */

import type { FleetSettings } from '../settings.ts';
import type { HostBinding } from './host-process.ts';

export function keyOf(binding: HostBinding): string {
  return `${binding.trustGroup}/${binding.network}/${binding.pool}`;
}

/** Back from `keyOf`: names of trust groups and pools hold no slash. */
export function bindingOf(key: string): HostBinding {
  const [trustGroup = '', network, pool = ''] = key.split('/');
  return { trustGroup, network: network === 'none' ? 'none' : 'all', pool };
}

/** Hosts in stock have their network, or lack of it, from the sandbox, and cannot be leased for the other policy. */
export function isApart(
  { network }: Pick<HostBinding, 'network'>,
  { sandbox, stockNetwork }: Pick<FleetSettings, 'sandbox' | 'stockNetwork'>,
): boolean {
  return sandbox !== null && network !== stockNetwork;
}
