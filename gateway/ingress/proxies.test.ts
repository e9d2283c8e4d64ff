import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createProxyTrust } from './proxies.ts';

describe('trusted proxies', () => {
  it('are addresses and ranges of both families', () => {
    const trust = createProxyTrust(['10.0.0.0/8', '192.168.1.7', 'fd00::/8', '::1']);
    const trusted = ['10.255.0.1', '192.168.1.7', 'fd12::1', '::1'];
    const others = ['11.0.0.1', '192.168.1.8', 'fe80::1', '::2', '', 'nonsense'];
    assert.equal(trust.any, true);
    assert.deepEqual(
      trusted.filter((address) => !trust.trusts(address)),
      [],
    );
    assert.deepEqual(
      others.filter((address) => trust.trusts(address)),
      [],
    );
  });

  it('are none by default', () => {
    const trust = createProxyTrust([]);
    assert.equal(trust.any, false);
    assert.equal(trust.trusts('127.0.0.1'), false);
  });

  it('that are neither are refused by name', () => {
    for (const bad of ['proxy.local', '10.0.0.0/33', '10.0.0.0/', '::1/129', '10.0.0/8', '10.0.0.0/-1', '/8']) {
      assert.throws(
        () => createProxyTrust([bad]),
        (error: Error) => error.message.includes(`"${bad}"`),
        bad,
      );
    }
  });
});
