import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { buildFiles, refusal, textOf } from './testing/trees.ts';

const SECRET = 'a-secret-of-this-machine';

describe('a hostile tree reads nothing of the machine', () => {
  let directory = '';
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'hearth-build-'));
    writeFileSync(join(directory, 'secret.txt'), SECRET);
    writeFileSync(join(directory, 'secret.js'), `module.exports = "${SECRET}"`);
    writeFileSync(join(directory, 'secret.json'), `{"secret":"${SECRET}"}`);
    writeFileSync(join(directory, 'package.json'), `{"main":"secret.js"}`);
    symlinkSync(join(directory, 'secret.js'), join(directory, 'link.js'));
    const map = { version: 3, sources: [join(directory, 'secret.txt')], names: [], mappings: 'AAAA' };
    writeFileSync(join(directory, 'secret.js.map'), JSON.stringify({ ...map, sourcesContent: [SECRET] }));
  });
  after(() => rmSync(directory, { recursive: true }));

  const up = '../'.repeat(20);
  for (const [what, source] of [
    ['an absolute path', (d: string) => `import x from "${d}/secret.js"; export { x }`],
    ['an absolute path in require', (d: string) => `exports.x = require("${d}/secret.js")`],
    [
      'an absolute path in a require that may fail',
      (d: string) => `try { exports.x = require("${d}/secret.js") } catch {}`,
    ],
    ['an absolute path in a dynamic import', (d: string) => `exports.x = import("${d}/secret.js")`],
    ['a template of an absolute path', (d: string) => `exports.x = require(\`${d}/secret.js\`)`],
    ['a directory', (d: string) => `exports.x = require("${d}")`],
    ['a symlink', (d: string) => `exports.x = require("${d}/link.js")`],
    ['a relative path out of the tree', (d: string) => `import x from "./${up}${d}/secret.js"; export { x }`],
    ['a path that goes out and in again', () => `import x from "../tree/index.js"; export { x }`],
    ['the text attribute', (d: string) => `import x from "${d}/secret.txt" with { type: "text" }; export { x }`],
    ['the bytes attribute', (d: string) => `import x from "${up}${d}/secret.txt" with { type: "bytes" }; export { x }`],
    ['the json attribute', (d: string) => `import x from "${d}/secret.json" with { type: "json" }; export { x }`],
    ['a file URL', (d: string) => `import x from "file://${d}/secret.js"; export { x }`],
    ['a glob import', (d: string) => `export const x = (n) => import("${d}/" + n + ".js")`],
    ['a namespace of the builder', (d: string) => `import x from "tree:${d}/secret.js"; export { x }`],
    ["esbuild's file namespace", (d: string) => `import x from "file:${d}/secret.js"; export { x }`],
    ['the bytes behind a module', (d: string) => `import x from "hearth-bytes:${d}/secret.txt"; export { x }`],
    ['a backslash', (d: string) => `import x from "${d.replaceAll('/', '\\\\')}\\\\secret.js"; export { x }`],
    ['a NUL', (d: string) => `import x from "${d}/secret.js\\0.js"; export { x }`],
  ] as const) {
    it(`by ${what}`, async () => {
      const built = await buildFiles({ 'index.js': source(directory) }).then(
        (result) => ({ result }),
        (error: Error) => ({ error }),
      );
      if ('result' in built) assert.ok(!textOf(built.result).includes(SECRET));
      else assert.ok(!JSON.stringify([built.error.message, built.error]).includes(SECRET));
      if (what !== 'a glob import') assert.ok('error' in built, 'it was built');
    });
  }

  it('by naming /etc/passwd, in a sentence with its place', async () => {
    const [error] = await refusal(buildFiles({ 'index.ts': '\nimport "/etc/passwd"' }));
    assert.match(error?.message ?? '', /"\/etc\/passwd" is not a path inside the deployed files/);
    assert.deepEqual([error?.file, error?.line, error?.column], ['index.ts', 2, 8]);
  });

  it('by new URL and paths at run time, which the build leaves as they are', async () => {
    const result = await buildFiles({
      'index.js': `export const u = new URL("file://${directory}/secret.txt"), v = new URL("${directory}/secret.txt", import.meta.url);`,
    });
    assert.ok(!textOf(result).includes(SECRET));
    assert.deepEqual(result.files, []);
  });

  for (const comment of [
    (d: string) => `//# sourceMappingURL=file://${d}/secret.js.map`,
    (d: string) => `//# sourceMappingURL=${d}/secret.js.map`,
    (d: string) => `//# sourceMappingURL=${up}${d}/secret.js.map`,
    (d: string) => `/*# sourceMappingURL=file://${d}/secret.js.map */`,
    (d: string) =>
      `//# sourceMappingURL=data:application/json,${encodeURIComponent(JSON.stringify({ version: 3, sources: [`file://${d}/secret.txt`], names: [], mappings: 'AAAA' }))}`,
  ]) {
    it(`by the comment ${comment('…').slice(0, 40)}`, async () => {
      for (const name of ['index.js', 'index.ts']) {
        const result = await buildFiles({ [name]: `console.log(1);\n${comment(directory)}` });
        const map = Buffer.from(result.sourceMap!).toString();
        assert.deepEqual(JSON.parse(map).sources, [name]);
        assert.ok(!map.includes(SECRET) && !map.includes(directory));
      }
    });
  }

  it('by a source map that the file carries in itself: names are names, and nothing is read', async () => {
    const sources = [`file://${directory}/secret.txt`, `${directory}/secret.txt`, `${up}${directory}/secret.txt`];
    const map = { version: 3, sources, names: [], mappings: 'AAAA;ACAA;ACAA' };
    const inline = Buffer.from(JSON.stringify(map)).toString('base64');
    const result = await buildFiles({
      'index.js': `console.log(1);\nconsole.log(2);\nconsole.log(3);\n//# sourceMappingURL=data:application/json;base64,${inline}`,
    });
    assert.ok(!Buffer.from(result.sourceMap!).toString().includes(SECRET));
    assert.ok(!textOf(result).includes(SECRET));
  });

  it('by package.json: main, exports and imports stay in the package', async () => {
    for (const json of [
      { main: `${up}${directory}/secret.js` },
      { main: `${directory}/secret.js` },
      { exports: `./${up}${directory}/secret.js` },
      { exports: { '.': `${directory}/secret.js` } },
      { exports: './../../index.js' },
    ]) {
      const files = { 'index.js': 'export * from "p"', 'node_modules/p/package.json': JSON.stringify(json) };
      const [error] = await refusal(buildFiles(files));
      assert.match(error?.message ?? '', /The package "p"/);
    }
    const imports = {
      'index.js': 'import "#x"',
      'package.json': JSON.stringify({ name: 'x', imports: { '#x': `${directory}/secret.js` } }),
    };
    assert.match((await refusal(buildFiles(imports)))[0]?.message ?? '', /not a path inside/);
  });

  it('by tsconfig.json: neither extends nor paths leave the tree', async () => {
    for (const config of [
      { extends: `${directory}/secret.json` },
      { compilerOptions: { paths: { x: [`${directory}/secret.js`, `${up}${directory}/secret.js`] } } },
      { compilerOptions: { baseUrl: directory, paths: { x: ['secret.js'] } } },
    ]) {
      const [error] = await refusal(buildFiles({ 'index.ts': 'import "x"', 'tsconfig.json': JSON.stringify(config) }));
      assert.match(error?.message ?? '', /"x" is neither/);
    }
  });

  it('by imports that go round in circles', async () => {
    const json = JSON.stringify({ name: 'x', imports: { '#a': '#b', '#b': '#a' } });
    const [error] = await refusal(buildFiles({ 'index.js': 'import "#a"', 'package.json': json }));
    assert.match(error?.message ?? '', /#/);
    const extending = { 'index.js': 'exports.a = 1', 'tsconfig.json': '{"extends":"./tsconfig.json"}' };
    assert.ok((await buildFiles(extending)).code.byteLength > 0);
  });
});
