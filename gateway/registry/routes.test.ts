import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkRoute } from '../../functions/contract/routes.ts';
import { createRouteTable } from './routes.ts';

/** Functions by name with their patterns, as manifests write them. */
function tableOf(published: Record<string, string[]>) {
  const table = createRouteTable<string>();
  for (const [name, patterns] of Object.entries(published)) {
    const canonical = patterns.map((pattern) => checkRoute(pattern).pattern ?? assert.fail(`no route: ${pattern}`));
    table.set(name, { patterns: canonical, byName: true, tag: null }, name);
  }
  return table;
}

/** Name and prefix of the winner, `-` for none. */
function winner(table: ReturnType<typeof tableOf>, url: string, tag?: string): string {
  const { hostname, pathname, search: query } = new URL(`http://${url}`);
  const match = table.match(hostname, pathname, { headers: tag === undefined ? [] : [['x-hearth-tag', tag]], query });
  return match === undefined ? '-' : `${match.target}${match.prefix === null ? '' : ` less ${match.prefix}`}`;
}

/** [pattern, url, whether it matches]: the table of developers.cloudflare.com/workers/configuration/routing/routes, and what follows from its text. */
const WORKERS_CASES: [string, string, boolean][] = [
  ['example.com/', 'example.com/', true],
  ['example.com/', 'example.com/x', false],
  ['example.com', 'example.com/', true],
  ['example.com', 'example.com/x', false],
  ['example.com/*', 'example.com/', true],
  ['example.com/*', 'example.com/a/b', true],
  ['example.com/*', 'www.example.com/', false],
  ['*example.com/', 'example.com/', true],
  ['*example.com/', 'www.example.com/', true],
  ['*example.com/', 'a.b.example.com/', true],
  ['*example.com/', 'notexample.com/', false],
  ['*.example.com/', 'www.example.com/', true],
  ['*.example.com/', 'a.b.example.com/', true],
  ['*.example.com/', 'example.com/', false],
  ['*.example.com/*', 'www.example.com/x/y', true],
  ['example.com/path*', 'example.com/path', true],
  ['example.com/path*', 'example.com/path2', true],
  ['example.com/path*', 'example.com/path/readme.txt', true],
  ['example.com/path*', 'example.com/pat', false],
  ['example.com/path/*', 'example.com/path', false],
  ['example.com/path/*', 'example.com/path/', true],
  ['example.com/path', 'example.com/Path', false],
  ['EXAMPLE.com/x', 'example.com/x', true],
  ['*/shop/*', 'anything.test/shop/7', true],
  ['*/shop/*', 'anything.test/shop', false],
  ['/shop/*', 'anything.test/shop/7', true],
  ['bücher.example/*', 'xn--bcher-kva.example/x', true],
];

describe('route patterns', () => {
  for (const [pattern, url, matches] of WORKERS_CASES) {
    it(`${pattern} ${matches ? 'matches' : 'does not match'} ${url}`, () => {
      assert.equal(winner(tableOf({ f: [pattern] }), url), matches ? 'f' : '-');
    });
  }
});

describe('the most specific route wins', () => {
  const table = tableOf({
    apex: ['example.com/*'],
    hello: ['example.com/hello/*'],
    exact: ['example.com/hello/world'],
    www: ['www.example.com/*'],
    below: ['*.example.com/*'],
    deeper: ['*.eu.example.com/*'],
    both: ['*example.com/only-here'],
    any: ['*/*'],
    anyshop: ['*/shop/*'],
    shop: [],
  });
  for (const [url, expected] of [
    ['example.com/x', 'apex'],
    ['example.com/hello/x', 'hello'],
    ['example.com/hello/world', 'exact'],
    ['www.example.com/x', 'www'],
    ['api.example.com/x', 'below'],
    ['a.eu.example.com/x', 'deeper'],
    ['eu.example.com/x', 'below'],
    ['example.com/only-here', 'apex'],
    ['other.test/x', 'any'],
    ['other.test/shop/x', 'anyshop'],
    ['other.test/shop', 'shop less /shop'],
    ['other.test/hello/x', 'hello less /hello'],
    ['shop.localhost/x', 'shop'],
    ['shop.localhost/shop/x', 'shop'],
  ] as const) {
    it(`${url} goes to ${expected}`, () => assert.equal(winner(table, url), expected));
  }

  it('falls back to a wider host when the narrow one has no route for the path', () => {
    const hosts = tableOf({ narrow: ['www.example.com/api/*'], wide: ['*.example.com/*'] });
    assert.equal(winner(hosts, 'www.example.com/api/1'), 'narrow');
    assert.equal(winner(hosts, 'www.example.com/web'), 'wide');
  });
});

describe('functions by name', () => {
  it('take their prefix off /NAME and leave the path of NAME.localhost alone', () => {
    const table = tableOf({ hi: [], 'hi-2': [] });
    assert.equal(winner(table, '127.0.0.1/hi'), 'hi less /hi');
    assert.equal(winner(table, '127.0.0.1/hi/'), 'hi less /hi');
    assert.equal(winner(table, '127.0.0.1/hi/x/y'), 'hi less /hi');
    assert.equal(winner(table, '127.0.0.1/hi-2'), 'hi-2 less /hi-2');
    assert.equal(winner(table, 'hi.localhost/hi'), 'hi');
    assert.equal(winner(table, 'hi.localhost/'), 'hi');
  });

  it('are not found under anything that only looks like their name', () => {
    const table = tableOf({ hi: [] });
    for (const url of [
      'h/',
      'h/h',
      'h/HI',
      'h/hi2',
      'h//hi',
      'h/x/hi',
      'h/%68i',
      'x.hi.localhost/',
      'localhost/',
      'h/__proto__',
      'h/constructor',
    ]) {
      assert.equal(winner(table, url), '-', url);
    }
  });

  it('come after patterns that name a host', () => {
    const table = tableOf({ hi: [], taker: ['hi.localhost/api/*', '127.0.0.1/hi/x'] });
    assert.equal(winner(table, 'hi.localhost/api/1'), 'taker');
    assert.equal(winner(table, 'hi.localhost/other'), 'hi');
    assert.equal(winner(table, '127.0.0.1/hi/x'), 'taker');
    assert.equal(winner(table, '127.0.0.1/hi/y'), 'hi less /hi');
  });
});

describe('changes', () => {
  it('replace what a function had, and take it away with the function', () => {
    const table = tableOf({ f: ['a.test/*', '*/one/*'], g: ['*/two/*'] });
    table.set('f', { patterns: ['b.test/*'], byName: true, tag: null }, 'f');
    assert.deepEqual(
      ['a.test/x', 'x.test/one/1', 'b.test/x', 'x.test/two/1'].map((url) => winner(table, url)),
      ['-', '-', 'f', 'g'],
    );
    table.delete('f');
    table.delete('unknown');
    assert.deepEqual(
      ['b.test/x', 'x.test/f', 'f.localhost/', 'x.test/two/1'].map((url) => winner(table, url)),
      ['-', '-', '-', 'g'],
    );
  });

  it('tell of a pattern that another function has, however it is written', () => {
    const table = tableOf({ f: ['a.test/*', 'c.test', '*/shop/*'] });
    const conflict = (name: string, patterns: string[]) => table.conflict(name, { patterns, tag: null });
    assert.deepEqual(conflict('g', ['b.test/*', 'a.test/*']), { pattern: 'a.test/*', owner: 'f' });
    assert.deepEqual(conflict('g', ['c.test/']), { pattern: 'c.test/', owner: 'f' });
    assert.deepEqual(conflict('g', ['*/shop/*']), { pattern: '*/shop/*', owner: 'f' });
    assert.equal(conflict('f', ['a.test/*', 'c.test/', '*/shop/*']), undefined);
    assert.equal(conflict('g', ['a.test/', 'a.test/x*', '*.a.test/*', '*/shop*']), undefined);
  });
});

describe('tags', () => {
  function tagged() {
    const table = tableOf({ shop: ['*/shop/*'] });
    const hold = (name: string, tag: string | null, ...patterns: string[]) =>
      table.set(name, { patterns, byName: patterns.length === 0, tag }, name);
    hold('beta', 'beta', '*/shop/*', 'only.test/*');
    hold('nightly', 'nightly', '*/shop/*');
    return { table, hold };
  }

  it('choose among those that hold one route; without one, or with an unknown one, it is the untagged', () => {
    const { table } = tagged();
    assert.equal(winner(table, 'a.test/shop/1'), 'shop');
    assert.equal(winner(table, 'a.test/shop/1', 'beta'), 'beta');
    assert.equal(winner(table, 'a.test/shop/1', 'nightly'), 'nightly');
    assert.equal(winner(table, 'a.test/shop/1', 'other'), 'shop');
    assert.equal(winner(table, 'a.test/shop/1?hearth-tag=beta'), 'beta');
    assert.equal(winner(table, 'a.test/shop/1?x=1&hearth-tag=nightly&y'), 'nightly');
    assert.equal(winner(table, 'a.test/shop/1?hearth-tag=beta', 'nightly'), 'nightly', 'the header goes first');
    assert.equal(winner(table, 'a.test/shop/1?x-hearth-tag=beta&hearth-tag='), 'shop');
  });

  it('leave what nobody holds untagged to the next route that matches', () => {
    const { table, hold } = tagged();
    assert.equal(winner(table, 'only.test/x'), '-');
    assert.equal(winner(table, 'only.test/x', 'beta'), 'beta');
    hold('deeper', 'beta', '*/shop/deep/*');
    assert.equal(winner(table, 'a.test/shop/deep/1'), 'shop');
    assert.equal(winner(table, 'a.test/shop/deep/1', 'nightly'), 'nightly');
    assert.equal(winner(table, 'a.test/shop/deep/1', 'beta'), 'deeper');
  });

  it('hold names too, and a publication with routes of its own is not found by its name', () => {
    const { table, hold } = tagged();
    hold('named', 'beta');
    assert.equal(winner(table, 'x/named/1'), '-');
    assert.equal(winner(table, 'x/named/1', 'beta'), 'named less /named');
    assert.equal(winner(table, 'named.localhost/', 'beta'), 'named');
    assert.equal(winner(table, 'x/nightly/1', 'nightly'), '-');
  });

  it('are freed with their holder, in whatever order', () => {
    for (const order of [
      ['shop', 'beta', 'nightly'],
      ['nightly', 'shop', 'beta'],
      ['beta', 'nightly', 'shop'],
    ]) {
      const { table } = tagged();
      const left = new Set(order);
      for (const name of order) {
        table.delete(name);
        left.delete(name);
        for (const tag of ['beta', 'nightly']) {
          const expected = left.has(tag) ? tag : left.has('shop') ? 'shop' : '-';
          assert.equal(winner(table, 'a.test/shop/1', tag), expected, `${order}: ${tag} after ${name}`);
        }
        assert.equal(winner(table, 'a.test/shop/1'), left.has('shop') ? 'shop' : '-');
      }
    }
  });

  it('conflict with the same tag only', () => {
    const { table } = tagged();
    const patterns = ['*/shop/*'];
    assert.deepEqual(table.conflict('new', { patterns, tag: 'beta' }), { pattern: '*/shop/*', owner: 'beta' });
    assert.deepEqual(table.conflict('new', { patterns, tag: null }), { pattern: '*/shop/*', owner: 'shop' });
    assert.equal(table.conflict('new', { patterns, tag: 'other' }), undefined);
    assert.equal(table.conflict('beta', { patterns, tag: 'beta' }), undefined);
  });
});
