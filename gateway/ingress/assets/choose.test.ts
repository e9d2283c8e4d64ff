import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chooseAsset, firstAsked } from './choose.ts';
import type { AssetListing } from './listing.ts';

const listing = (...paths: string[]): AssetListing => new Map(paths.map((path) => [path, { hash: path, bytes: 1 }]));
const SITE = listing(
  '/index.html',
  '/a.html',
  '/b/index.html',
  '/b.html',
  '/c/index.html',
  '/x.js',
  '/d e.txt',
  '/404.html',
  '/c/404.html',
);

type Handling = 'auto-trailing-slash' | 'force-trailing-slash' | 'drop-trailing-slash' | 'none';

/** `=PATH`: that file; `>PATH`: there; `!PATH`: that file as a 404; empty: nothing. */
function chosen(
  path: string,
  html_handling: Handling,
  not_found_handling: 'none' | '404-page' | 'single-page-application' = 'none',
  site = SITE,
): string {
  const outcome = chooseAsset(site, { html_handling, not_found_handling }, path);
  if (outcome.kind === 'none') return '';
  if (outcome.kind === 'redirect') return `>${outcome.path}`;
  return `${outcome.status === 200 ? '=' : '!'}${outcome.path}`;
}

describe('the asset that answers', () => {
  for (const [handling, expected] of [
    [
      'auto-trailing-slash',
      {
        '/': '=/index.html',
        '/index.html': '>/',
        '/index': '>/',
        '/a': '=/a.html',
        '/a/': '>/a',
        '/a.html': '>/a',
        '/a/index': '>/a',
        '/a/index.html': '>/a',
        '/c': '>/c/',
        '/c/': '=/c/index.html',
        '/c/index.html': '>/c/',
        '/c.html': '>/c/',
        '/b': '=/b.html',
        '/b/': '=/b/index.html',
        '/x.js': '=/x.js',
        '/x': '',
      },
    ],
    [
      'force-trailing-slash',
      {
        '/': '=/index.html',
        '/a': '>/a/',
        '/a/': '=/a.html',
        '/a.html': '>/a/',
        '/c': '>/c/',
        '/c/': '=/c/index.html',
        '/x.js': '=/x.js',
      },
    ],
    [
      'drop-trailing-slash',
      {
        '/': '=/index.html',
        '/a': '=/a.html',
        '/a/': '>/a',
        '/a.html': '>/a',
        '/c': '=/c/index.html',
        '/c/': '>/c',
        '/c/index.html': '>/c',
      },
    ],
    ['none', { '/': '', '/index.html': '=/index.html', '/a': '', '/a.html': '=/a.html', '/c/': '', '/x.js': '=/x.js' }],
  ] as const) {
    it(`is found by ${handling}`, () => {
      const found = Object.fromEntries(Object.keys(expected).map((path) => [path, chosen(path, handling)]));
      assert.deepEqual(found, expected);
    });
  }

  it('is decoded once, and nothing when it cannot be', () => {
    assert.equal(chosen('/d%20e.txt', 'auto-trailing-slash'), '=/d e.txt');
    assert.equal(chosen('/d%2520e.txt', 'auto-trailing-slash'), '');
    assert.equal(chosen('/%zz', 'auto-trailing-slash', '404-page'), '');
  });

  it('never leads to another host, whatever a file is called', () => {
    const hostile = listing('//evil.test/a.html', '/\\evil.test/b.html', '/ü/é?.html');
    assert.equal(chosen('//evil.test/a.html', 'auto-trailing-slash', 'none', hostile), '>/evil.test/a');
    assert.equal(chosen('/\\evil.test/b.html', 'auto-trailing-slash', 'none', hostile), '>/%5Cevil.test/b');
    assert.equal(chosen('/%C3%BC/%C3%A9%3F.html', 'auto-trailing-slash', 'none', hostile), '>/%C3%BC/%C3%A9%3F');
  });

  it('leads the root of a site that is mounted below a name to its slash', () => {
    assert.equal(chosen('', 'auto-trailing-slash'), '>/');
  });

  it('for what is not there is the nearest 404.html, the page of the application, or none', () => {
    assert.equal(chosen('/c/d/e', 'auto-trailing-slash', '404-page'), '!/c/404.html');
    assert.equal(chosen('/z', 'auto-trailing-slash', '404-page'), '!/404.html');
    assert.equal(chosen('/z/y', 'auto-trailing-slash', '404-page', listing('/x')), '');
    assert.equal(chosen('/z/y', 'auto-trailing-slash', 'single-page-application'), '=/index.html');
    assert.equal(chosen('/z', 'auto-trailing-slash'), '');
  });
});

describe('who is asked first', () => {
  it('follows the paths of run_worker_first, exceptions before the rest', () => {
    assert.deepEqual([firstAsked(true, '/a'), firstAsked(false, '/a')], ['function', 'default']);
    const rules = ['/api/*', '/exact', '!/api/docs/*'];
    const asked = ['/api/x', '/api/docs/x', '/exact', '/exact/more', '/other'].map((path) => firstAsked(rules, path));
    assert.deepEqual(asked, ['function', 'assets', 'function', 'default', 'default']);
  });

  it('is the function for what it guards, however the path is spelled', () => {
    const spelled = ['/%61dmin/x', '/admin%2Fx', '/a%64min%2fx', '/caf%C3%A9/x'];
    for (const path of spelled) assert.equal(firstAsked(['/admin/*', '/café/*'], path), 'function', path);
    assert.equal(firstAsked(['/caf%C3%A9/*'], '/caf%C3%A9/x'), 'function');
    assert.equal(firstAsked(['/*', '!/docs/*'], '/%64ocs/x'), 'function');
    assert.equal(firstAsked(['/a/*', '!/docs/*'], '/%64ocs/x'), 'assets');
    assert.equal(firstAsked(['/admin/*'], '/%zz'), 'default');
  });

  it('takes no longer for a pattern of many stars', () => {
    assert.equal(firstAsked([`/${'a*'.repeat(200)}b`], `/${'a'.repeat(50_000)}`), 'default');
  });
});
