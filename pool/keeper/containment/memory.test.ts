import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena, culprit } from './arena.ts';

/** Bodies of fetch handlers. Each would take far more than its 64 MB. */
const BOMBS: Record<string, string> = {
  'an array': `const a = []; for (;;) a.push({ n: a.length }, 'x' + a.length);`,
  'a Map': `const m = new Map(); for (let n = 0; ; n++) m.set('key ' + n, { n });`,
  strings: `const a = []; let s = 'x'; for (;;) { s += s.length + 'some text that is long enough to matter'; a.push(s + a.length); a.at(-1).charCodeAt(5); }`,
  JSON: `let value = { list: Array.from({ length: 1000 }, (_, n) => ({ n, text: 'text ' + n })) }; const all = []; for (;;) all.push(JSON.parse(JSON.stringify(value)));`,
  Buffers: `const a = []; for (;;) a.push(Buffer.alloc(1024 * 1024, 1));`,
  ArrayBuffers: `const a = []; for (;;) { const b = new ArrayBuffer(1024 * 1024); new Uint8Array(b).fill(1); a.push(b); }`,
  'asynchronous work': `const a = []; for (;;) { a.push(Buffer.alloc(4 * 1024 * 1024, 1)); await new Promise((resolve) => setImmediate(resolve)); }`,
  'a loop that cannot be interrupted': `const a = []; for (;;) a.push({ x: new Array(100).fill(1) });`,
  'one array of a gigabyte': `return Response.json(new Array(2 ** 27).fill(0).length);`,
};

/** What is refused where it is made: the function hears it as an error of its own. */
const REFUSED: Record<string, string> = {
  SharedArrayBuffer: `const a = []; for (;;) { const s = new SharedArrayBuffer(8 * 1024 * 1024); new Uint8Array(s).fill(1); a.push(s); }`,
  'a growing SharedArrayBuffer': `const s = new SharedArrayBuffer(1024, { maxByteLength: 2 ** 30 }); for (;;) { s.grow(s.byteLength * 2); new Uint8Array(s).fill(1); }`,
  'WebAssembly.Memory': `const a = []; for (;;) a.push(new WebAssembly.Memory({ initial: 128 }));`,
  'a growing WebAssembly.Memory': `const m = new WebAssembly.Memory({ initial: 1 }); for (;;) { m.grow(64); new Uint8Array(m.buffer).fill(1); }`,
};

/** Memory is what ends them, also on a machine that is slow to give it. */
const PATIENT = { timeoutMs: 30_000 };

test('memory bombs end with a coded answer to their caller and leave nothing behind', async (t) => {
  await Arena.during(t, async (arena) => {
    for (const [name, body] of Object.entries(BOMBS)) {
      await t.test(`${name}: FUNCTION_CRASHED, which names the memory limit`, async (one) => {
        const { error } = await arena.suffer(one, culprit(body, PATIENT));
        assert.equal(error?.code, 'FUNCTION_CRASHED');
        // By its host's watch; by the gateway's, where the machine is so busy that the host comes too late.
        assert.match(error.message, /memory limit of 64 MB|all its bases together may take/);
      });
    }
    for (const [name, body] of Object.entries(REFUSED)) {
      await t.test(`${name}: a RangeError of its own`, async (one) => {
        const { error } = await arena.suffer(one, culprit(body, PATIENT));
        assert.equal(error?.code, 'FUNCTION_EXCEPTION');
        assert.match(error.message, /RangeError.*memory limit of 64 MB/);
      });
    }
    await t.test('memory that WASM code grows by itself stays below the limit', async (one) => {
      // (module (memory 1) (func (export "grow") (result i32) (memory.grow (i32.const 16))))
      const bytes =
        '0061736d01000000010501600001' +
        '7f' +
        '03020100' +
        '0503010001' +
        '0708010467726f770000' +
        '0a08010600411040000b';
      const spec = culprit(`const { instance } = await WebAssembly.instantiate(Buffer.from('${bytes}', 'hex'));
        let pages = 1; while (instance.exports.grow() >= 0) pages += 16; return Response.json(pages);`);
      const { text } = await arena.suffer(one, spec);
      assert.ok(Number(text) > 900 && Number(text) <= 1024, `${text} pages`);
    });
    await t.test('what fits into the limit is served', async (one) => {
      const spec = culprit(`const kept = Buffer.alloc(40 * 1024 * 1024, 1); const shared = new SharedArrayBuffer(1024);
        let made = 0; for (let n = 0; n < 300; n++) made += Buffer.alloc(1024 * 1024, n).length;
        return Response.json(kept.length + shared.byteLength + made);`);
      const { text, error } = await arena.suffer(one, spec);
      assert.equal(error, null);
      assert.equal(Number(text), 340 * 1024 * 1024 + 1024);
    });
  });
});
