import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseManifestValue } from '../contract/manifest-file.ts';
import { buildFiles, buildTree, installed, refusal, run, textOf, treeOf } from './testing/trees.ts';

describe('a build', () => {
  it('takes types off and joins modules to one CommonJS file', async () => {
    const result = await buildFiles({
      'index.ts': 'import { b } from "./lib/b.js";\nimport type { T } from "./gone.ts";\nexport const t: T = b as T;',
      'lib/b.ts': 'import { c } from "../c"; export const b: number = c + 1;',
      'c/index.ts': 'export const c = 1;',
    });
    assert.equal(result.format, 'cjs');
    assert.equal(run(result).t, 2);
    assert.equal(result.sizeBytes, result.code.byteLength);
  });

  it('gives a source map that names the files of the tree and holds no content', async () => {
    const { sourceMap } = await buildFiles({
      'src/index.ts': 'import "./a.ts"; console.log(1)',
      'src/a.ts': 'console.log(2)',
    });
    const map = JSON.parse(Buffer.from(sourceMap!).toString());
    assert.deepEqual(map.sources, ['src/a.ts', 'src/index.ts']);
    assert.equal(map.sourcesContent, undefined);
  });

  it('leads through the map that a file bundled before carries in itself, and not through those of packages', async () => {
    const inline = (source: string) =>
      `//# sourceMappingURL=data:application/json;base64,${Buffer.from(JSON.stringify({ version: 3, sources: [source], names: [], mappings: 'AAAA' })).toString('base64')}\n`;
    const { sourceMap } = await buildFiles({
      'index.js': `console.log(require("p"));\n${inline('src/orders.ts')}`,
      'node_modules/p/package.json': '{"name":"p","version":"1.0.0"}',
      'node_modules/p/index.js': `module.exports = 1;\n${inline('../src/p.ts')}`,
    });
    const { sources } = JSON.parse(Buffer.from(sourceMap!).toString());
    assert.deepEqual(sources, ['node_modules/p/index.js', 'src/orders.ts']);
  });

  it('imports JSON, text, bytes and WebAssembly as Workers does', async () => {
    const wasm = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
    const result = await buildFiles({
      'index.ts':
        'import j, { n } from "./j.json"; import t from "./t.txt"; import h from "./h.html"; import s from "./s.sql";' +
        'import b from "./b.bin"; import w from "./w.wasm"; import w2 from "./w.wasm?module";' +
        'import m from "./m.md" with { type: "text" }; import raw from "./t.txt" with { type: "bytes" };' +
        'export { j, n, t, h, s, b, w, w2, m, raw };',
      'j.json': '{"n":1,"o":{"p":[2]}}',
      't.txt': 'text ü',
      'h.html': '<p>',
      's.sql': 'select 1',
      'b.bin': Uint8Array.of(1, 2, 255),
      'w.wasm': wasm,
      'm.md': '# m',
    });
    const { j, n, t, h, s, b, w, w2, m, raw } = run(result);
    assert.deepEqual([j, n, t, h, s, m], [{ n: 1, o: { p: [2] } }, 1, 'text ü', '<p>', 'select 1', '# m']);
    assert.ok(b instanceof ArrayBuffer);
    assert.deepEqual([...new Uint8Array(b)], [1, 2, 255]);
    assert.deepEqual([String(w), String(w2)], ['[object WebAssembly.Module]', '[object WebAssembly.Module]']);
    assert.equal(Buffer.from(raw as Uint8Array).toString(), 'text ü');
    assert.deepEqual(result.files, []);
  });

  it('leaves built-ins and the runtime modules to the base', async () => {
    const result = await buildFiles({
      'index.ts':
        'import { WorkerEntrypoint } from "cloudflare:workers"; import * as h from "hearth"; import fs from "node:fs"; import path from "path";' +
        'export default class extends WorkerEntrypoint {}; export { h, fs, path };',
    });
    const exported = run(result, {
      provides: { 'cloudflare:workers': { WorkerEntrypoint: class {} }, hearth: { here: 1 } },
    });
    assert.equal((exported.h as { here: number }).here, 1);
    assert.equal(typeof exported.default, 'function');
  });

  it('turns dynamic imports into calls that vm.Script takes', async () => {
    const result = await buildFiles({
      'index.ts': 'export const a = async () => (await import("./b.ts")).b + (await import("node:path")).sep.length;',
      'b.ts': 'export const b = 1;',
    });
    assert.doesNotMatch(textOf(result), /\bimport\(/);
    assert.equal(await (run(result).a as () => Promise<number>)(), 2);
  });

  it('gives each file its own __dirname and import.meta, under the directory of the files', async () => {
    const result = await buildFiles({
      'src/index.ts':
        "'use strict'\nimport * as c from '../lib/c.cjs';\nexport const d = __dirname, f = __filename, u = import.meta.url, m = import.meta.dirname, n = import.meta.filename; export { c };",
      'lib/c.cjs':
        "#!/usr/bin/env node\n// c\n'use strict'\nexports.d = __dirname; exports.strict = (function () { return this === undefined })();",
      'hearth.jsonc': '{"main":"src/index.ts"}',
      'top.ts': '',
    });
    const exported = run(result, { dirname: '/files/x y' });
    assert.deepEqual(
      [exported.d, exported.f, exported.u, exported.m, exported.n],
      [
        '/files/x y/src',
        '/files/x y/src/index.ts',
        'file:///files/x%20y/src/index.ts',
        '/files/x y/src',
        '/files/x y/src/index.ts',
      ],
    );
    assert.equal((exported.c as { d: string }).d, '/files/x y/lib');
    assert.equal((exported.c as { strict: boolean }).strict, true);
    assert.equal(run(await buildFiles({ 'index.js': 'exports.d = __dirname' }), { dirname: '/' }).d, '/');
  });

  it('leaves a __dirname alone that the author declares', async () => {
    const result = await buildFiles({
      'index.mjs':
        'import { fileURLToPath } from "node:url"; import { dirname } from "node:path";\nconst __dirname = dirname(fileURLToPath(import.meta.url)); export const d = __dirname; export const s = "__dirname";',
    });
    assert.equal(run(result).d, '/files');
    assert.equal(run(result).s, '__dirname');
  });

  it("reads JSX settings and path aliases from the tree's tsconfig.json", async () => {
    const result = await buildFiles({
      'tsconfig.base.json': '{"compilerOptions":{"jsx":"react-jsx","jsxImportSource":"tiny"}}',
      'tsconfig.json': '{ // comment\n "extends":"./tsconfig.base", "compilerOptions":{"paths":{"@/*":["./src/*"]}},}',
      'src/index.tsx': 'import { x } from "@/x"; export const e = <b>{x}</b>;',
      'src/x.ts': 'export const x = "hi"',
      'node_modules/tiny/jsx-runtime.js': 'exports.jsx = (tag, props) => [tag, props.children]',
    });
    assert.deepEqual(run(result).e, ['b', 'hi']);
  });

  it('resolves packages by exports, imports, main, directory and nesting', async () => {
    const result = await buildFiles({
      'index.ts':
        'import a from "a"; import sub from "@s/b/sub/deep"; import c from "c"; import d from "d/lib/x"; import hash from "#hash"; import self from "me/self"; const r = require("a");\nexport { a, sub, c, d, hash, self, r };',
      'package.json': '{"name":"me","imports":{"#hash":{"node":"./h.ts"}},"exports":{"./self":"./self.ts"}}',
      'h.ts': 'export default "hash"',
      'self.ts': 'export default "self"',
      'node_modules/a/package.json': '{"exports":{"import":"./a.mjs","require":"./a.cjs"}}',
      'node_modules/a/a.mjs': 'export default "a import"',
      'node_modules/a/a.cjs': 'module.exports = "a require"',
      'node_modules/@s/b/package.json': '{"exports":{"./sub/*":"./dist/*.js"}}',
      'node_modules/@s/b/dist/deep.js': 'module.exports = "deep"',
      'node_modules/c/package.json': '{"main":"lib"}',
      'node_modules/c/lib/index.js': 'module.exports = require("e")',
      'node_modules/c/node_modules/e/index.js': 'module.exports = "nested e"',
      'node_modules/e/index.js': 'module.exports = "outer e"',
      'node_modules/d/lib/x.js': 'module.exports = "d"',
    });
    const { a, sub, c, d, hash, self, r } = run(result);
    assert.deepEqual([a, sub, c, d, hash, self, r], ['a import', 'deep', 'nested e', 'd', 'hash', 'self', 'a require']);
  });

  it('drops what a package without side effects exports and nobody uses', async () => {
    const result = await buildFiles({
      'index.ts': 'import { a } from "p"; export { a };',
      'node_modules/p/package.json': '{"name":"p","sideEffects":false,"module":"i.js","type":"module"}',
      'node_modules/p/i.js': 'export * from "./a.js"; export * from "./b.js";',
      'node_modules/p/a.js': 'export const a = 1;',
      'node_modules/p/b.js': 'console.log("never wanted"); export const b = 2;',
    });
    assert.doesNotMatch(textOf(result), /never wanted/);
  });

  it('sets NODE_ENV to production unless the manifest says otherwise', async () => {
    const files = { 'index.js': 'exports.e = process.env.NODE_ENV' };
    assert.equal(run(await buildFiles(files)).e, 'production');
    const manifest = parseManifestValue({ vars: { NODE_ENV: 'staging' } });
    assert.equal(run(await buildFiles(files, { manifest })).e, 'staging');
  });

  it('makes an ES module of top-level await, with nothing imported past the base', async () => {
    const result = await buildFiles(
      {
        'index.ts':
          'import { sep } from "node:path"; import { lib } from "lib"; const v = await Promise.resolve(lib + sep); export default { v, d: __dirname };',
      },
      { provided: [{ specifier: 'lib', library: 'lib', version: '1.0.0', bytes: 7 }] },
    );
    assert.equal(result.format, 'esm');
    assert.deepEqual(result.provided, [{ library: 'lib', version: '1.0.0', bytes: 7 }]);
    assert.doesNotMatch(textOf(result), /^\s*import\b/m);

    const symbols = [Symbol.for('hearth.require'), Symbol.for('hearth.dirname')] as const;
    const host = globalThis as unknown as Record<symbol, unknown>;
    host[symbols[0]] = (name: string) => (name === 'lib' ? { lib: 'from base ' } : { sep: '|' });
    host[symbols[1]] = '/files';
    try {
      const module = await import(`data:text/javascript;base64,${Buffer.from(result.code).toString('base64')}`);
      assert.deepEqual(module.default, { v: 'from base |', d: '/files' });
    } finally {
      for (const symbol of symbols) Reflect.deleteProperty(globalThis, symbol);
    }
  });

  it('gives the same bytes for the same tree', async () => {
    const files = {
      'index.ts': 'import { b } from "./b.ts"; export default b',
      'b.ts': 'export const b = [__dirname]',
    };
    const [one, two] = await Promise.all([buildFiles(files), buildFiles(files)]);
    assert.deepEqual(one.code, two.code);
  });

  it('takes a bundle of most of a megabyte', async () => {
    const lines = Array.from(
      { length: 12_000 },
      (_, i) => `export function f${i}(a) { return a + ${i} + "some text to fill a line"; }`,
    );
    const result = await buildFiles({ 'index.js': lines.join('\n') });
    assert.ok(result.code.byteLength > 800_000);
    assert.equal((run(result).f7 as (a: number) => string)(1), '8some text to fill a line');
  });
});

describe('files that are not in the bundle', () => {
  it('stay beside it: templates, static files, data; and no sources, manifests, locks or declarations', async () => {
    const result = await buildFiles({
      'src/index.ts': 'import j from "./used.json"; export default j',
      'src/used.json': '{}',
      'src/other.ts': '',
      'src/types.d.ts': '',
      'public/app.js': 'browser',
      'public/index.html': '<p>',
      'views/a.ejs': 'x',
      'package.json': '{}',
      'package-lock.json': '{}',
      'hearth.jsonc': '{}',
      'tsconfig.json': '{}',
      '.git/config': '',
      '.gitignore': '',
      'README.md': '',
      LICENSE: '',
      'posts/README.md': 'x',
    });
    assert.deepEqual(result.files, ['posts/README.md', 'public/app.js', 'public/index.html', 'views/a.ejs']);
    assert.equal(result.sizeBytes, result.code.byteLength + 'browser'.length + '<p>'.length + 'x'.length * 2);
  });

  it('of packages come along only where the package asks for its place', async () => {
    const result = await buildFiles({
      'index.js': 'require("asks"); require("does-not"); ',
      'node_modules/asks/package.json': '{"name":"asks"}',
      'node_modules/asks/index.js': 'exports.f = () => require("node:fs").readFileSync(__dirname + "/t.html")',
      'node_modules/asks/t.html': 'x',
      'node_modules/asks/README.md': 'x',
      'node_modules/asks/test/t.html': 'x',
      'node_modules/asks/latest/t.html': 'x',
      'node_modules/does-not/package.json': '{"name":"does-not"}',
      'node_modules/does-not/index.js': '',
      'node_modules/does-not/t.html': 'x',
      'node_modules/unused/package.json': '{"name":"unused"}',
      'node_modules/unused/index.js': '__dirname',
      'node_modules/unused/t.html': 'x',
    });
    assert.deepEqual(result.files, [
      'node_modules/asks/latest/t.html',
      'node_modules/asks/package.json',
      'node_modules/asks/t.html',
    ]);
  });
});

describe('errors of a build', () => {
  it('name file, line and column, counted from 1 in characters', async () => {
    assert.deepEqual(await refusal(buildFiles({ 'src/index.ts': 'const a = 1;\nconst ü = ;' })), [
      { message: 'Unexpected ";"', file: 'src/index.ts', line: 2, column: 11 },
    ]);
  });

  it('count columns as the author sees them, whatever we put into the line', async () => {
    const [error] = await refusal(buildFiles({ 'index.js': '"use strict"; const d = __dirname; const x = ;' }));
    assert.deepEqual([error?.line, error?.column], [1, 46]);
  });

  it('tell several at once', async () => {
    const errors = await refusal(buildFiles({ 'index.js': 'import "./a";\nimport "./b";\nimport "c";' }));
    assert.deepEqual(
      errors.map(({ line, column }) => [line, column]),
      [
        [1, 8],
        [2, 8],
        [3, 8],
      ],
    );
  });

  it('do not speak of top-level await where something else is wrong', async () => {
    const errors = await refusal(buildFiles({ 'index.js': 'await 1;\nimport "./gone";' }));
    assert.deepEqual(
      errors.map(({ message, line }) => [message, line]),
      [['"./gone" is not among the deployed files.', 2]],
    );
  });

  it('say that a package must be uploaded or shared', async () => {
    for (const source of ['import x from "left-pad"; x();', 'require("left-pad")', 'import("left-pad")']) {
      const [error] = await refusal(buildFiles({ 'index.js': source }));
      assert.match(
        error?.message ?? '',
        /"left-pad" is neither among the deployed files nor shared by the base: upload it/,
      );
      assert.equal(error?.line, 1);
    }
  });

  it('spare what is optional: a require in a try, and one inside a package', async () => {
    const result = await buildFiles({
      'index.js': 'try { require("fast") } catch { exports.slow = true } exports.p = require("p");',
      'node_modules/p/index.js': 'exports.more = () => require("optional")',
    });
    const exported = run(result);
    assert.equal(exported.slow, true);
    assert.throws(() => (exported.p as { more(): void }).more(), /Cannot find module/);
  });

  for (const [what, files, says] of [
    ['a native addon', { 'index.js': 'require("./x.node")', 'x.node': '' }, /native addon/],
    ['a style sheet', { 'index.js': 'import "./x.css"', 'x.css': '' }, /style sheet/],
    ['a file of unknown kind', { 'index.js': 'import "./x.png"', 'x.png': '' }, /type: "text"/],
    [
      'a module of Workers that Hearth does not do',
      { 'index.js': 'import "cloudflare:sockets"' },
      /Hearth does not do/,
    ],
    ['an unknown built-in', { 'index.js': 'import "node:nonsense"' }, /not a built-in/],
    ['a web address', { 'index.js': 'import "https://example.com/x.js"' }, /https: URLs are not followed/],
    ['a data URL', { 'index.js': 'import "data:text/javascript,1"' }, /data: URLs are not followed/],
    [
      'a subpath that a package does not export',
      { 'index.js': 'import "p/x"', 'node_modules/p/package.json': '{"exports":"./i.js"}', 'node_modules/p/x.js': '' },
      /does not export "\.\/x"/,
    ],
    ['broken JSON', { 'index.js': 'import "./x.json"', 'x.json': '{' }, /found end of file/],
    [
      'an unknown import attribute',
      { 'index.js': 'import x from "./x.txt" with { type: "url" }; x', 'x.txt': '' },
      /type may be "json", "text" or "bytes"/,
    ],
    [
      'an attribute on a built-in',
      { 'index.js': 'import x from "node:fs" with { type: "text" }; x' },
      /has no meaning/,
    ],
  ] as const) {
    it(`refuse ${what} with a sentence`, async () => {
      const [error] = await refusal(buildFiles(files));
      assert.match(error?.message ?? '', says);
    });
  }
});

describe('an application of the real kind', () => {
  for (const [name, source] of [
    [
      'express',
      'const express = require("express"); const app = express(); app.use(express.static(__dirname + "/public")); module.exports = app;',
    ],
    ['koa', 'import Koa from "koa"; const app = new Koa(); app.use((c) => { c.body = "x" }); export default app;'],
    [
      'fastify',
      'import fastify from "fastify"; const app = fastify(); app.get("/", async () => "x"); export default app;',
    ],
  ] as const) {
    it(`bundles with ${name} and its node_modules`, async () => {
      const files = new Map([...installed(name), ...treeOf({ 'index.js': source, 'public/a.txt': 'a' })]);
      const result = await buildTree(files);
      assert.ok(result.code.byteLength > 50_000);
      assert.ok(result.files.includes('public/a.txt'));
      const exported = run(result);
      const app = (exported.default ?? exported) as { use?: unknown; route?: unknown };
      assert.equal(typeof (app.use ?? app.route), 'function');
    });
  }
});
