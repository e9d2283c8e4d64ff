/** Code that would be above its limits by what it does to the base's own counting, clock and ports. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena, culprit } from './arena.ts';

/** Memory is what ends them, also on a machine that is slow to give it. */
const PATIENT = { timeoutMs: 30_000 };
const BUFFERS =
  'const a = []; for (;;) { a.push(Buffer.alloc(1024 * 1024, 1)); await new Promise((go) => setImmediate(go)); }';
const SHARED =
  'const a = []; for (;;) { const s = new SharedArrayBuffer(8 * 1024 * 1024); new Uint8Array(s).fill(1); a.push(s); }';

/** Each writes over every shared array that it is handed. */
const GAUGE = `const take = (name) => { const real = Atomics[name]; Atomics[name] = (array, ...rest) => { if (array.length > 4) array[2] = array[6] = 0; return real(array, ...rest); }; };
  for (const name of ['load', 'store', 'exchange', 'notify', 'waitAsync', 'wait', 'add']) take(name);
  Math.ceil = Math.max = Math.min = () => 0;`;

const COUNTED: Record<string, string> = {
  'Array.prototype.filter and push': `const keep = []; const { filter, push } = Array.prototype; Array.prototype.filter = () => []; Array.prototype.push = () => 0;
    try { for (let n = 0; ; n++) { const s = new SharedArrayBuffer(8 * 1024 * 1024); new Uint8Array(s).fill(1); keep[n] = s; } }
    finally { Object.assign(Array.prototype, { filter, push }); }`,
  'WeakRef.prototype.deref': `WeakRef.prototype.deref = () => undefined; ${SHARED}`,
  'WeakRef itself': `globalThis.WeakRef = class { deref() {} }; ${SHARED}`,
  'the constructor it is made by': `let Real; Reflect.construct = (kind) => { Real = kind; throw new Error('seen'); };
    try { new SharedArrayBuffer(1); } catch {}
    if (Real !== undefined) return new Response('handed out'); ${SHARED}`,
  'a copy that names no constructor': `const s = new SharedArrayBuffer(8 * 1024 * 1024); s.constructor = undefined;
    const a = []; for (;;) { const copy = s.slice(0); new Uint8Array(copy).fill(1); a.push(copy); }`,
  'what a WebAssembly module is taken for': `Object.defineProperty(ArrayBuffer, Symbol.hasInstance, { value: () => false }); ArrayBuffer.isView = () => false; globalThis.Uint8Array = class {};
    const a = []; for (;;) a.push(new WebAssembly.Memory({ initial: 128 }));`,
};

/** Memory that neither V8's statistics nor the base's own count hold. */
const UNSEEN: Record<string, string> = {
  Blobs: `const bytes = Buffer.alloc(1e6, 1); const a = []; for (;;) { a.push(new Blob([bytes])); await new Promise((go) => setImmediate(go)); }`,
  'messages that nobody takes from a port': `const bytes = Buffer.alloc(1e6, 1); const { port1 } = new MessageChannel(); for (;;) { port1.postMessage(bytes); await new Promise((go) => setImmediate(go)); }`,
};

test('who breaks the counting of its memory goes uncounted nowhere', async (t) => {
  await Arena.during(t, async (arena) => {
    await t.test('the gauge is handed to nobody: FUNCTION_CRASHED, which names the memory limit', async (one) => {
      const { error } = await arena.suffer(one, culprit(`${GAUGE} ${BUFFERS}`, PATIENT));
      assert.equal(error?.code, 'FUNCTION_CRASHED');
      assert.match(error.message, /memory limit of 64 MB/);
    });
    await t.test('nor is the limit of CPU: FUNCTION_TIMEOUT, which names it', async (one) => {
      const { error } = await arena.suffer(one, culprit(`${GAUGE} for (;;);`, { cpuMs: 100, timeoutMs: 30_000 }));
      assert.equal(error?.code, 'FUNCTION_TIMEOUT');
      assert.match(error.message, /limits\.cpu_ms/);
    });
    for (const [name, body] of Object.entries(COUNTED)) {
      await t.test(`replacing ${name}: a RangeError of its own`, async (one) => {
        const { error, text } = await arena.suffer(one, culprit(body, PATIENT), { broken: true });
        assert.equal(error?.code, 'FUNCTION_EXCEPTION', text ?? '');
        assert.match(error.message, /RangeError.*memory limit of 64 MB/);
      });
    }
    for (const [name, body] of Object.entries(UNSEEN)) {
      await t.test(`${name}: the host ends, at what all of its bases together may take`, async (one) => {
        const { error } = await arena.suffer(one, culprit(body, PATIENT));
        assert.equal(error?.code, 'FUNCTION_CRASHED');
        assert.match(error.message, /together may take/);
      });
    }
  });
});

test('who breaks the clock and the ports of its base is told the time by others', async (t) => {
  await Arena.during(t, async (arena) => {
    for (const [name, body] of Object.entries({
      'moves its own deadline': 'ctx.dueAt = Infinity; ctx.deadlineSlot = -1; await new Promise(() => {});',
      'stops the clock':
        'performance.now = () => 0; Date.now = () => 0; process.hrtime = () => [0, 0]; await new Promise(() => {});',
      'ends its invocation before it ends':
        'ctx.ended(); ctx.abandoned(new Error("mine")); ctx.expired?.(); for (;;) await new Promise((go) => setImmediate(go));',
    })) {
      await t.test(`${name}: FUNCTION_TIMEOUT`, async (one) => {
        const { error } = await arena.suffer(one, culprit(body, { timeoutMs: 400 }), { broken: true });
        assert.equal(error?.code, 'FUNCTION_TIMEOUT');
      });
    }

    await t.test('a clock that says nonsense makes no nonsense of what the gateway tells', async () => {
      const { keeper } = arena.harness;
      for (const now of ['NaN', '-1e300', '1e300', 'Infinity']) {
        const spec = culprit(`performance.now = () => ${now}; return new Response('told')`);
        const answer = await arena.ask(spec);
        assert.equal(answer.text, 'told');
        for (const [phase, ms] of Object.entries(answer.facts.phases))
          assert.ok(ms >= 0 && ms < 60_000, `${phase}: ${ms}`);
        await keeper.retire(spec.key, 'the test is over');
      }
    });

    for (const [name, messages] of Object.entries({
      'that are none': `[null, {}, { type: 99 }]`,
      'to streams that are none': `[{ type: 'stdioPayload', stream: '__proto__', chunks: [{ chunk: 'x', encoding: 'utf8' }] }]`,
      'of an error that is none': `[{ type: 'errorMessage', error: new Uint8Array([0, 1, 2]) }, { type: 'errorMessage', error: null }]`,
    })) {
      await t.test(`messages to its host's main thread ${name} end no more than that host`, async (one) => {
        const spec = culprit(
          `const { EventEmitter } = require('events'), emit = EventEmitter.prototype.emit;
           let real; EventEmitter.prototype.emit = function (...args) { if (this !== process && typeof this.reallyExit === 'function') real = this; return emit.apply(this, args) };
           Promise.reject(new Error('unhandled')); await new Promise((go) => setTimeout(go, 20)); EventEmitter.prototype.emit = emit;
           const port = real.stdout[Object.getOwnPropertySymbols(real.stdout).find((symbol) => symbol.description === 'kPort')];
           for (const message of ${messages}) port.postMessage(message);
           await new Promise((go) => setTimeout(go, 100)); return new Response('sent');`,
        );
        const { error, text } = await arena.suffer(one, spec);
        if (error === null) assert.equal(text, 'sent');
        else assert.equal(error.code, 'FUNCTION_CRASHED');
      });
    }
  });
});
