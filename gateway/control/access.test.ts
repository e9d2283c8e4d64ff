import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import type { TokenRecord, TokenStore } from '../store/api/tokens.ts';
import { createAccess, overrideRefusal, routeCovers, SCOPE_PATTERN, scopeCovers } from './access.ts';

describe('scopes', () => {
  test('a star stands for any run of characters, nothing else does', () => {
    for (const [scope, name, covered] of [
      ['deploy:shop', 'shop', true],
      ['deploy:shop', 'shops', false],
      ['deploy:shop-*', 'shop-cart', true],
      ['deploy:shop-*', 'shop', false],
      ['deploy:*', 'anything', true],
      ['deploy:*-api', 'cart-api', true],
      ['deploy:*-api', 'cart-apis', false],
      ['deploy:a*b*c', 'axbxc', true],
      ['deploy:a*b*c', 'acb', false],
      ['deploy:ab*ba', 'aba', false],
      ['deploy:shop.cart', 'shopxcart', false],
      ['enqueue:shop', 'shop', false],
    ] as const) {
      assert.equal(scopeCovers(scope, 'deploy', name), covered, `${scope} and ${name}`);
    }
  });

  test('a pattern of many stars is answered at once', () => {
    assert.equal(scopeCovers(`deploy:${'a*'.repeat(200)}b`, 'deploy', 'a'.repeat(60)), false);
  });

  test('only the forms there are can be granted', () => {
    for (const scope of [
      'read',
      'enqueue:orders',
      'invoke:*',
      'rpc:*',
      'deploy:shop-*',
      'enqueue:orders.dead',
      'override:shop-*',
    ]) {
      assert.match(scope, SCOPE_PATTERN);
    }
    for (const scope of ['', 'admin', 'read:x', 'deploy', 'deploy:', 'deploy:Shop', 'write:x', 'deploy:a b']) {
      assert.doesNotMatch(scope, SCOPE_PATTERN);
    }
  });
});

describe('routes a token may claim', () => {
  test('are those whose every URL is within one it names', () => {
    for (const [allowed, claimed, covered] of [
      ['shop.example.com/*', 'shop.example.com/api/*', true],
      ['shop.example.com/*', 'shop.example.com/', true],
      ['shop.example.com/api/*', 'shop.example.com/*', false],
      ['shop.example.com/*', 'example.com/*', false],
      ['*.example.com/*', 'shop.example.com/*', true],
      ['*.example.com/*', '*.shop.example.com/x', true],
      ['*.example.com/*', 'example.com/*', false],
      ['*.example.com/*', 'evil-example.com/*', false],
      ['*.example.com/*', '*example.com/*', false],
      ['*example.com/*', '*.example.com/*', true],
      ['*/shop/*', '*/shop/cart', true],
      ['*/shop/*', 'any.host/shop/*', true],
      ['*/shop/*', '*/*', false],
      ['a.example/x', 'a.example/x', true],
      ['a.example/x', 'a.example/xy', false],
    ] as const) {
      assert.equal(routeCovers(allowed, claimed), covered, `${allowed} and ${claimed}`);
    }
  });
});

describe('tokens', () => {
  const adminToken = 'a'.repeat(32);

  /** A store in memory: what is tested is what is asked of it. */
  function memory(): TokenStore & { kept: Map<string, TokenRecord> } {
    const kept = new Map<string, TokenRecord>();
    return {
      kept,
      put: async (record) => void kept.set(record.id, record),
      list: async () => [...kept.values()],
      delete: async (id) => kept.delete(id),
    };
  }

  function codeOf(work: () => unknown): string {
    try {
      work();
    } catch (error) {
      return error instanceof HearthError ? error.code : String(error);
    }
    return 'none';
  }

  test('the admin token may do everything, others are unknown', async () => {
    const access = await createAccess(adminToken, memory());
    assert.equal(access.authenticate(`Bearer ${adminToken}`).admin, true);
    assert.equal(access.authenticate(`bearer ${adminToken}`).admin, true);
    for (const header of [
      undefined,
      '',
      'Bearer',
      `Basic ${adminToken}`,
      adminToken,
      `Bearer ${adminToken}x`,
      'Bearer x',
    ]) {
      assert.equal(
        codeOf(() => access.authenticate(header)),
        'UNAUTHORIZED',
        String(header),
      );
    }
  });

  test('a scoped one is kept by its hash, known after a restart, and unknown once revoked', async () => {
    const store = memory();
    const grants = { scopes: ['read'], trustGroups: [], routes: [] };
    const { token, record } = await (await createAccess(adminToken, store)).create(grants, 1);
    assert.ok(!JSON.stringify([...store.kept]).includes(token));

    const again = await createAccess(adminToken, store);
    const caller = again.authenticate(`Bearer ${token}`);
    assert.deepEqual([caller.id, caller.admin, caller.scopes], [record.id, false, ['read']]);
    assert.equal(await again.revoke(record.id), true);
    assert.equal(await again.revoke(record.id), false);
    assert.equal(
      codeOf(() => again.authenticate(`Bearer ${token}`)),
      'UNAUTHORIZED',
    );
  });

  test('who may choose the version of a function has its scope; whether a token is known is not told', async () => {
    const access = await createAccess(adminToken, memory());
    const tokenFor = async (...scopes: string[]) =>
      (await access.create({ scopes, trustGroups: [], routes: [] }, 1)).token;
    const refused = (token: string) => overrideRefusal(access, token, 'shop')?.message ?? null;
    assert.equal(refused(adminToken), null);
    assert.equal(refused(await tokenFor('override:shop')), null);
    assert.equal(refused(await tokenFor('read', 'override:sh*')), null);
    const others = await tokenFor('override:cart', 'deploy:shop', 'invoke:shop', 'read');
    for (const token of [others, 'unknown', '', 'two words', `${adminToken}x`]) {
      assert.match(refused(token) ?? '', /needs a token with the scope "override:shop"/);
      assert.equal(overrideRefusal(access, token, 'shop')?.code, 'FORBIDDEN');
    }
  });
});
