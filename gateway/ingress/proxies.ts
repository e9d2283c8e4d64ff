/** Whose forwarded headers are believed. */
import { BlockList, isIP, SocketAddress } from 'node:net';

export interface ProxyTrust {
  /** False when no proxy is trusted at all: then nobody needs to be asked. */
  readonly any: boolean;
  trusts(address: string): boolean;
}

/** Entries are addresses or CIDR ranges, IPv4 or IPv6. Throws an Error that names the entry that is neither. */
export function createProxyTrust(entries: readonly string[]): ProxyTrust {
  const list = new BlockList();
  for (const entry of entries) {
    const slash = entry.indexOf('/');
    const address = slash === -1 ? entry : entry.slice(0, slash);
    const version = isIP(address);
    if (version === 0) throw new Error(`"${entry}" is neither an address nor a range like 10.0.0.0/8.`);
    const family = version === 6 ? 'ipv6' : 'ipv4';
    if (slash === -1) {
      list.addAddress(address, family);
      continue;
    }
    const bits = Number(entry.slice(slash + 1));
    if (entry.slice(slash + 1) === '' || !Number.isInteger(bits) || bits < 0 || bits > (version === 6 ? 128 : 32)) {
      throw new Error(`"${entry}" is not a range: the number of bits is wrong.`);
    }
    list.addSubnet(address, bits, family);
  }
  return {
    any: entries.length > 0,
    trusts(address) {
      const version = isIP(address);
      if (version === 0) return false;
      return list.check(new SocketAddress({ address, family: version === 6 ? 'ipv6' : 'ipv4' }));
    },
  };
}
