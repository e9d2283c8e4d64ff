/**
 * Which addresses Hearth itself connects to where somebody else named the URL: a module's source, a callback. Hearth
 * reaches more than they do: itself, its machine, the cloud's metadata service. Those are refused, before connecting, by
 * the address that is connected to: a name that resolves differently the second time gains nothing.
 */
import { type LookupAddress, type LookupAllOptions, lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

const REFUSED: readonly [network: string, prefix: number, family: 'ipv4' | 'ipv6'][] = [
  // Unspecified, which connects to this machine, and loopback.
  ['0.0.0.0', 8, 'ipv4'],
  ['127.0.0.0', 8, 'ipv4'],
  ['::', 127, 'ipv6'],
  // Link-local: 169.254.169.254 is the metadata service of most clouds.
  ['169.254.0.0', 16, 'ipv4'],
  ['fe80::', 10, 'ipv6'],
  // Metadata services elsewhere: Alibaba Cloud, Azure, Oracle Cloud, AWS over IPv6.
  ['100.100.100.200', 32, 'ipv4'],
  ['168.63.129.16', 32, 'ipv4'],
  ['192.0.0.192', 32, 'ipv4'],
  ['fd00:ec2::', 32, 'ipv6'],
  // Multicast and broadcast.
  ['224.0.0.0', 3, 'ipv4'],
  ['ff00::', 8, 'ipv6'],
  // IPv4 in IPv6 (compatible, translated, NAT64, 6to4, Teredo): a way round all of the above. Mapped ones the list knows itself.
  ['::', 96, 'ipv6'],
  ['::ffff:0:0:0', 96, 'ipv6'],
  ['2001::', 32, 'ipv6'],
  ['64:ff9b::', 96, 'ipv6'],
  ['64:ff9b:1::', 48, 'ipv6'],
  ['2002::', 16, 'ipv6'],
];

const PRIVATE: typeof REFUSED = [
  ['10.0.0.0', 8, 'ipv4'],
  ['172.16.0.0', 12, 'ipv4'],
  ['192.168.0.0', 16, 'ipv4'],
  // Between a provider and its customers, and of protocols: never on the Internet.
  ['100.64.0.0', 10, 'ipv4'],
  ['192.0.0.0', 24, 'ipv4'],
  ['198.18.0.0', 15, 'ipv4'],
  // Unique local, and its older form.
  ['fc00::', 7, 'ipv6'],
  ['fec0::', 10, 'ipv6'],
];

/** Whether Hearth connects to this IP address without having been told to. */
export type AddressCheck = (address: string) => boolean;

/** `privateToo`: addresses of private networks are as good as any. */
export function createAddressCheck(privateToo: boolean): AddressCheck {
  const refused = new BlockList();
  const networks = privateToo ? REFUSED : [...REFUSED, ...PRIVATE];
  for (const [network, prefix, family] of networks) refused.addSubnet(network, prefix, family);
  return (address) => {
    // A zone (fe80::1%eth0) is no part of the address.
    const plain = address.replace(/%.*$/, '');
    const version = isIP(plain);
    return version !== 0 && !refused.check(plain, version === 4 ? 'ipv4' : 'ipv6');
  };
}

export type Resolve = (
  host: string,
  options: LookupAllOptions,
  answer: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** For `lookup` of a request: resolves as usual, and fails with what `refusal` makes when any of the addresses is refused. */
export function checkedLookup(
  check: AddressCheck,
  refusal: (host: string, address: string) => Error,
  resolve: Resolve = lookup,
): LookupFunction {
  return (host, options, answer) => {
    resolve(host, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      if (error !== null) return answer(error, '', 0);
      const refused = addresses.find(({ address }) => !check(address));
      if (refused !== undefined) return answer(refusal(host, refused.address), '', 0);
      const [first] = addresses;
      if (first === undefined) return answer(new Error(`${host} has no address`), '', 0);
      if (options.all === true) answer(null, addresses);
      else answer(null, first.address, first.family);
    });
  };
}
