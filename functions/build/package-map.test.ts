import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { exportTargets, importTargets } from './package-map.ts';

const requires = (condition: string) => ['node', 'require'].includes(condition);
const imports = (condition: string) => ['node', 'import'].includes(condition);

describe('exports of a package', () => {
  it('may be one target, conditions, or subpaths', () => {
    assert.deepEqual(exportTargets('./a.js', '.', imports), ['./a.js']);
    assert.deepEqual(exportTargets({ import: './a.mjs', require: './a.cjs' }, '.', requires), ['./a.cjs']);
    assert.deepEqual(exportTargets({ './x': { default: './x.js' } }, './x', imports), ['./x.js']);
  });

  it('take the first condition that holds, in the order they are written', () => {
    assert.deepEqual(exportTargets({ default: './d.js', import: './i.js' }, '.', imports), ['./d.js']);
  });

  it('fall through a nested condition under which nothing holds', () => {
    const map = { node: { import: './node.mjs' }, default: './x.js' };
    assert.deepEqual(exportTargets(map, '.', requires), ['./x.js']);
    assert.deepEqual(exportTargets(map, '.', imports), ['./node.mjs']);
  });

  it('match patterns, the longest first, and null shuts out', () => {
    const map = { './*': './lib/*.js', './in/*': null, './in/deep/*.js': './deep/*/*.js' };
    assert.deepEqual(exportTargets(map, './a/b', imports), ['./lib/a/b.js']);
    assert.deepEqual(exportTargets(map, './in/x', imports), []);
    assert.deepEqual(exportTargets(map, './in/deep/q.js', imports), ['./deep/q/q.js']);
    assert.deepEqual(exportTargets({ './old/': './lib/' }, './old/x.js', imports), ['./lib/x.js']);
  });

  it('try the targets of an array in turn', () => {
    assert.deepEqual(exportTargets(['nonsense', { require: './r.js' }, './i.js'], '.', imports), ['./i.js']);
  });

  it('never lead out of the package', () => {
    assert.deepEqual(exportTargets('../../etc/passwd', '.', imports), []);
    assert.deepEqual(exportTargets({ './*': './*' }, './../x', imports), []);
    assert.deepEqual(exportTargets({ './*': './*' }, './node_modules/x', imports), []);
  });

  it('are nothing when they are of no shape', () => {
    for (const odd of [undefined, null, 1, true, {}, [], [null]])
      assert.deepEqual(exportTargets(odd, './x', imports), []);
  });

  it('take keys literally, as no pattern language', () => {
    assert.deepEqual(exportTargets({ './(a+)+$*': './x.js' }, `./${'a'.repeat(40)}!`, imports), []);
  });
});

describe('imports of a package', () => {
  it('map to files and to other packages', () => {
    const map = { '#db': { node: './db.js' }, '#lib/*': './lib/*.js', '#dep': 'other' };
    assert.deepEqual(importTargets(map, '#db', imports), ['./db.js']);
    assert.deepEqual(importTargets(map, '#lib/a', imports), ['./lib/a.js']);
    assert.deepEqual(importTargets(map, '#dep', imports), ['other']);
    assert.deepEqual(importTargets(map, '#none', imports), []);
    assert.deepEqual(importTargets(undefined, '#db', imports), []);
  });
});
