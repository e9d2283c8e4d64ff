import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MAX_DEPLOY_FILES } from '../contract/limits.ts';
import { parseManifestValue } from '../contract/manifest-file.ts';
import { treeOf } from './testing/trees.ts';
import { checkPath, checkPaths, directoriesOf, join, mainOf, manifestFileOf, versionOf } from './tree.ts';

describe('checkPath', () => {
  for (const path of ['index.ts', 'src/a b/ü.ts', '.env', 'a..b/c', '...', '@scope/x', 'a'.repeat(255)]) {
    it(`admits ${JSON.stringify(path.slice(0, 20))}`, () => assert.equal(checkPath(path), null));
  }

  for (const [path, says] of [
    ['', /no path/],
    ['/etc/passwd', /absolute/],
    ['C:/x', /absolute/],
    ['../x', /"\.\."/],
    ['a/../../x', /"\.\."/],
    ['./x', /"\."/],
    ['a/.', /"\."/],
    ['a//b', /empty segment/],
    ['a/', /empty segment/],
    ['a\\b', /backslash/],
    ['a\0b', /control character/],
    ['a\nb', /control character/],
    ['\ud800', /Unicode/],
    ['ab/'.repeat(171), /longer than 512 bytes/],
    ['ü'.repeat(128), /longer than 255 bytes/],
  ] as const) {
    it(`refuses ${JSON.stringify(path.slice(0, 20))} with a sentence`, () =>
      assert.match(checkPath(path) ?? 'admitted', says));
  }
});

describe('checkPaths', () => {
  it('refuses a path that is a file and a directory at once', () => {
    assert.match(checkPaths(['a/b/c', 'a/b']) ?? '', /"a\/b" is a file and a directory/);
    assert.equal(checkPaths(['a/b', 'a/bc']), null);
  });

  it('refuses no files and too many', () => {
    assert.match(checkPaths([]) ?? '', /no file/);
    const many = Array.from({ length: MAX_DEPLOY_FILES + 1 }, (_, i) => `f${i}`);
    assert.match(checkPaths(many) ?? '', /20001 files; 20000/);
    assert.equal(checkPaths(many.slice(1)), null);
  });
});

describe('paths', () => {
  it('joins inside the tree and says when a path leads out of it', () => {
    assert.equal(join('a/b', '../c/./d'), 'a/c/d');
    assert.equal(join('a', '..'), '');
    assert.equal(join('a', '../..'), null);
    assert.equal(join('a', '/etc'), null);
    assert.deepEqual(directoriesOf('a/b/c'), ['a/b', 'a']);
  });
});

describe('the main file', () => {
  const main = (manifest: object, files: Record<string, string>) => mainOf(parseManifestValue(manifest), treeOf(files));

  it("is the manifest's", () => {
    assert.equal(main({ main: './src/x.ts' }, { 'src/x.ts': '', 'index.ts': '' }), 'src/x.ts');
  });

  it("is package.json's, then index.ts, then src/index.ts, then the only source", () => {
    assert.equal(main({}, { 'package.json': '{"main":"./lib/a"}', 'lib/a.js': '', 'index.ts': '' }), 'lib/a.js');
    assert.equal(main({}, { 'package.json': '{"main":"gone.js"}', 'index.ts': '', 'src/index.ts': '' }), 'index.ts');
    assert.equal(main({}, { 'package.json': 'no json', 'src/index.ts': '', 'a.ts': '' }), 'src/index.ts');
    assert.equal(main({}, { 'my.ts': '', 'my.d.ts': '', 'README.md': '' }), 'my.ts');
  });

  it('is missed with a sentence', () => {
    assert.throws(() => main({ main: 'gone.ts' }, { 'index.ts': '' }), {
      code: 'MANIFEST_INVALID',
      message: /"gone\.ts", which is not/,
    });
    assert.throws(() => main({ main: '../../etc/passwd' }, { 'index.ts': '' }), { code: 'MANIFEST_INVALID' });
    assert.throws(() => main({}, { 'a.ts': '', 'b.ts': '' }), { code: 'BUILD_FAILED', message: /No main file/ });
  });

  it('is looked up beside the manifest that counts', () => {
    assert.equal(manifestFileOf(treeOf({ 'wrangler.toml': '', 'hearth.jsonc': '' })), 'hearth.jsonc');
    assert.equal(manifestFileOf(treeOf({ 'index.ts': '' })), undefined);
  });
});

describe('a version', () => {
  const manifest = parseManifestValue({ vars: { A: '1', B: '2' } }, 'x');

  it('is the same for the same content in any order', () => {
    const swapped = parseManifestValue({ vars: { B: '2', A: '1' } }, 'x');
    assert.equal(versionOf(manifest, treeOf({ a: '1', b: '2' })), versionOf(swapped, treeOf({ b: '2', a: '1' })));
    assert.match(versionOf(manifest, treeOf({ a: '1' })), /^[0-9a-f]{24}$/);
  });

  it('is another for another manifest, name, content or split of content', () => {
    const all = [
      versionOf(manifest, treeOf({ a: '1', b: '2' })),
      versionOf(parseManifestValue({ vars: { A: '1' } }, 'x'), treeOf({ a: '1', b: '2' })),
      versionOf(manifest, treeOf({ a: '1', c: '2' })),
      versionOf(manifest, treeOf({ a: '1', b: '3' })),
      versionOf(manifest, treeOf({ a: '11:b1:2' })),
      versionOf(manifest, treeOf({ a: '' })),
      versionOf(manifest, treeOf({})),
    ];
    assert.equal(new Set(all).size, all.length);
  });
});
