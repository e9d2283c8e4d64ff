import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { manifestSchema } from '../contract/manifest.ts';
import { createKinds } from './kinds.ts';
import { buildFiles } from './testing/trees.ts';

describe('what an imported file becomes', () => {
  it('follows the rules of the manifest before its extension, globs as wrangler has them', () => {
    const kindOf = createKinds([
      { type: 'Text', globs: ['**/*.md', './top.*'] },
      { type: 'Data', globs: ['data/*.txt'] },
      { type: 'ESModule', globs: ['**/*.es', '**/*.tsx'] },
    ]);
    const kinds = Object.fromEntries(
      [
        'a.md',
        'a/b/c.md',
        'top.js',
        'a/top.js',
        'data/a.txt',
        'data/b/a.txt',
        'x.es',
        'x.tsx',
        'a+b.md',
        'unknown.png',
        'bin/www',
      ].map((path) => [path, kindOf(path)]),
    );
    assert.deepEqual(kinds, {
      'a.md': 'text',
      'a/b/c.md': 'text',
      'top.js': 'text',
      'a/top.js': 'js',
      'data/a.txt': 'data',
      'data/b/a.txt': 'text',
      'x.es': 'js',
      'x.tsx': 'tsx',
      'a+b.md': 'text',
      'unknown.png': undefined,
      'bin/www': 'js',
    });
  });

  it('takes no longer for a pattern of many stars', () => {
    const path = `${'a/'.repeat(100)}${'a'.repeat(300)}`;
    const globs = [
      `${'*a'.repeat(7)}*b*a`,
      `**/${'*a'.repeat(5)}*b*a`,
      `${'**a'.repeat(3)}*b*a`,
      `**/${'**/'.repeat(2)}b*a`,
    ];
    const kindOf = createKinds([{ type: 'Text', globs }]);
    assert.equal(kindOf(`${path}.a`), undefined);
    assert.equal(kindOf(`${path}b.a`), 'text');
  });

  it('gives no file of the machine for a pattern', async () => {
    const manifest = manifestSchema.parse({ rules: [{ type: 'Text', globs: ['**/*'] }] });
    for (const specifier of ['/etc/hostname', '../../../../etc/hostname', 'file:///etc/hostname']) {
      const source = `import text from ${JSON.stringify(specifier)}; export default { fetch: () => new Response(text) };`;
      await assert.rejects(
        buildFiles(
          { 'index.ts': source },
          { manifest: { ...manifest, rules: [{ type: 'Text', globs: ['/**', '**/hostname'] }] } },
        ),
        /BUILD_FAILED|not a path|leads out|not followed/,
      );
    }
  });

  it('is refused by name where a rule is none', () => {
    for (const rules of [
      [{ type: 'PythonModule', globs: ['*'] }],
      [{ type: 'Text', globs: [] }],
      [{ type: 'Text', globs: ['*'.repeat(10)] }],
    ]) {
      assert.equal(manifestSchema.safeParse({ rules }).success, false, JSON.stringify(rules));
    }
    for (const directory of ['.', '..', '../up', '/abs', 'a/../b', '']) {
      assert.equal(manifestSchema.safeParse({ assets: { directory } }).success, false, directory);
    }
  });
});
