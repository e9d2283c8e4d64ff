import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Traffic, trafficSchema } from '../../functions/contract/traffic.ts';
import { type Ask, compileTraffic } from './traffic.ts';

const CALLS = 10_000;

function ask(given: Partial<Record<'header' | 'cookie' | 'query' | 'json', Record<string, unknown>>>): Ask {
  const of = (kind: 'header' | 'cookie' | 'query') => (name: string) => (given[kind]?.[name] as string) ?? null;
  return { header: of('header'), cookie: of('cookie'), query: of('query'), json: (pointer) => given.json?.[pointer] };
}

function shares(pick: (n: number) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let n = 0; n < CALLS; n++) {
    const version = pick(n);
    counts[version] = (counts[version] ?? 0) + 1;
  }
  return counts;
}

function close(found: number | undefined, percent: number, points: number): void {
  const share = ((found ?? 0) * 100) / CALLS;
  assert.ok(Math.abs(share - percent) <= points, `${share} %, not ${percent} ± ${points}`);
}

const split = (...shares: [string, number][]): Traffic['split'] =>
  shares.map(([version, percent]) => ({ version, percent }));

test('one version with nothing to decide is the single one', () => {
  const plan = compileTraffic('f', { split: split(['a', 100]) });
  assert.equal(plan.single, 'a');
  assert.equal(plan.pick(null), 'a');
  assert.equal(compileTraffic('f', { split: split(['a', 100], ['b', 0]) }).single, 'a');
  assert.equal(compileTraffic('f', { split: split(['a', 50], ['b', 50]) }).single, null);
});

test('a choice says whether a rule made it or the split, also of one and the same version', () => {
  const rules = [{ when: { header: { 'x-beta': 'yes' } }, version: 'b' }];
  const plan = compileTraffic('f', { split: split(['b', 100]), rules, stickyBy: { query: 'user' } });
  assert.deepEqual(plan.choose(ask({ header: { 'x-beta': 'yes' } })), { version: 'b', arm: 'rule' });
  for (const other of [null, ask({}), ask({ header: { 'x-beta': 'no' } }), ask({ query: { user: 'me' } })]) {
    assert.deepEqual(plan.choose(other), { version: 'b', arm: 'split' });
  }
});

test('a split is kept within a tenth of a point over ten thousand calls, and from the first hundred on', () => {
  const plan = compileTraffic('f', { split: split(['a', 70], ['b', 20], ['c', 9.5], ['d', 0.5]) });
  const counts = shares(() => plan.pick(ask({})));
  close(counts.a, 70, 0.1);
  close(counts.b, 20, 0.1);
  close(counts.c, 9.5, 0.1);
  close(counts.d, 0.5, 0.1);
  const few = compileTraffic('f', { split: split(['a', 90], ['b', 10]) });
  let second = 0;
  for (let n = 0; n < 100; n++) if (few.pick(null) === 'b') second++;
  assert.ok(second >= 9 && second <= 11, String(second));
});

test('a caller stays where it is, and no one is moved back while a share grows', () => {
  const at = (percent: number) =>
    compileTraffic('shop', { split: split(['old', 100 - percent], ['new', percent]), stickyBy: { header: 'x-user' } });
  const of = (percent: number, user: number) => at(percent).pick(ask({ header: { 'x-user': `user-${user}` } }));
  let moved = new Set<number>();
  for (const percent of [1, 5, 10, 25, 50, 75, 100]) {
    const plan = at(percent);
    const now = new Set<number>();
    for (let user = 0; user < CALLS; user++) {
      if (plan.pick(ask({ header: { 'x-user': `user-${user}` } })) === 'new') now.add(user);
    }
    assert.deepEqual(
      [...moved].filter((user) => !now.has(user)),
      [],
    );
    close(now.size, percent, 1.5);
    moved = now;
  }
  assert.equal(of(30, 7), of(30, 7));
});

test('the order of the arms does not matter to who sticks where, and a third arm takes from both', () => {
  const sticky = { stickyBy: { cookie: 'session' } };
  const one = compileTraffic('f', { split: split(['a', 60], ['b', 40]), ...sticky });
  const other = compileTraffic('f', { split: split(['b', 40], ['a', 60]), ...sticky });
  const three = compileTraffic('f', { split: split(['a', 54], ['b', 36], ['c', 10]), ...sticky });
  for (let n = 0; n < 1000; n++) {
    const caller = ask({ cookie: { session: String(n) } });
    const before = one.pick(caller);
    assert.equal(other.pick(caller), before);
    const after = three.pick(caller);
    assert.ok(after === before || after === 'c');
  }
});

test('without the value it sticks to, a call is split like any other', () => {
  const plan = compileTraffic('f', { split: split(['a', 50], ['b', 50]), stickyBy: { query: 'user' } });
  const counts = shares(() => plan.pick(ask({})));
  close(counts.a, 50, 0.1);
  const empty = shares(() => plan.pick(ask({ query: { user: '' } })));
  close(empty.a, 50, 0.1);
});

test('rules come before the split, the first that matches wholly decides, and none matches a call without a request', () => {
  const plan = compileTraffic('f', {
    split: split(['a', 100]),
    rules: [
      { when: { header: { 'x-beta': 'yes' }, cookie: { team: 'red' } }, version: 'b' },
      { when: { header: { 'x-beta': 'yes' } }, version: 'c' },
      { when: { query: { v: '4' } }, version: 'd' },
      { when: { json: { '/user/id': 7 } }, version: 'e' },
    ],
  });
  assert.equal(plan.single, null);
  assert.equal(plan.needsBody, true);
  assert.equal(plan.pick(ask({ header: { 'x-beta': 'yes' }, cookie: { team: 'red' } })), 'b');
  assert.equal(plan.pick(ask({ header: { 'x-beta': 'yes' }, cookie: { team: 'blue' } })), 'c');
  assert.equal(plan.pick(ask({ query: { v: '4' } })), 'd');
  assert.equal(plan.pick(ask({ json: { '/user/id': 7 } })), 'e');
  assert.equal(plan.pick(ask({ json: { '/user/id': '7' } })), 'a');
  assert.equal(plan.pick(null), 'a');
});

test('only a rule or a binding on the body asks for the body', () => {
  const rules = [{ when: { header: { a: 'b' } }, version: 'b' }];
  assert.equal(compileTraffic('f', { split: split(['a', 100]), rules }).needsBody, false);
  assert.equal(compileTraffic('f', { split: split(['a', 50], ['b', 50]), stickyBy: { json: '/id' } }).needsBody, true);
  assert.equal(compileTraffic('f', { split: split(['a', 100]), stickyBy: { json: '/id' } }).needsBody, false);
});

test('a setting that cannot be meant is refused with what is wrong', () => {
  const problem = (given: unknown) => trafficSchema.safeParse(given).error?.issues[0]?.message;
  assert.match(problem({ split: split(['a', 60]) }) ?? '', /add up to 60/);
  assert.match(problem({ split: split(['a', 50], ['a', 50]) }) ?? '', /stands in the split once/);
  assert.ok(problem({ split: [] }) !== undefined);
  assert.match(problem({ split: split(['a', 100]), rules: [{ when: {}, version: 'a' }] }) ?? '', /at least one header/);
  assert.match(problem({ split: split(['a', 100]), stickyBy: { header: 'a', cookie: 'b' } }) ?? '', /one of/);
  assert.match(
    problem({ split: split(['a', 100]), rules: [{ when: { json: { user: 1 } }, version: 'a' }] }) ?? '',
    /JSON pointer/,
  );
  assert.equal(problem({ split: split(['a', 33.3], ['b', 33.3], ['c', 33.3]) }), undefined);
});
