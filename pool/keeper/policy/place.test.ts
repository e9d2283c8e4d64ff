import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PlacementRule } from '../settings.ts';
import { choose } from './place.ts';

const host = (id: string, leased: number, more: { bound?: boolean; lentBy?: string } = {}) => ({
  id,
  leased,
  binding: more.bound === false ? null : {},
  lentBy: more.lentBy ?? null,
});
type Host = ReturnType<typeof host>;
const chosen = (rule: PlacementRule, hosts: Host[], mayBind = true) => choose({ rule, hosts, mayBind })?.id ?? null;

test('of no hosts none is chosen', () => {
  assert.equal(chosen('pack', []), null);
  assert.equal(chosen('spread', []), null);
});

test('pack takes the fullest host, spread the emptiest, both the first of equals', () => {
  const hosts = [host('two', 2), host('five', 5), host('none', 0), host('also five', 5), host('also none', 0)];
  assert.equal(chosen('pack', hosts), 'five');
  assert.equal(chosen('spread', hosts), 'none');
});

test('pack leaves unbound hosts alone while a bound one has a base, spread only where no more may be bound', () => {
  const hosts = [host('bound', 3), host('unbound', 0, { bound: false })];
  assert.equal(chosen('pack', hosts), 'bound');
  assert.equal(chosen('spread', hosts), 'unbound');
  assert.equal(chosen('spread', hosts, false), 'bound');
  assert.equal(chosen('spread', [host('unbound', 0, { bound: false })], false), 'unbound');
});

test('what is lent comes last, so that it can go back', () => {
  const lent = host('lent', 0, { lentBy: 'buffer' });
  for (const rule of ['pack', 'spread'] as const) {
    assert.equal(chosen(rule, [lent, host('own', 7)]), 'own');
    assert.equal(chosen(rule, [lent, host('unbound', 0, { bound: false })], false), 'unbound');
    assert.equal(chosen(rule, [lent]), 'lent');
  }
});
