import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorCode } from '../../../functions/contract/errors.ts';
import type { ModuleSpec } from '../api.ts';
import { ask, Call } from '../testing/harness.ts';
import { Arena, culprit, culpritModule, type Suffering } from './arena.ts';

const SHORT = { timeoutMs: 400 };

interface Case {
  name: string;
  spec: ModuleSpec;
  code: ErrorCode | null;
  says?: RegExp;
  request?: Suffering;
}

const CASES: Case[] = [
  { name: 'an endless loop', spec: culprit('for (;;);', SHORT), code: 'FUNCTION_TIMEOUT' },
  {
    name: 'a storm of microtasks',
    spec: culprit('const f = () => void Promise.resolve().then(f); f(); await new Promise(() => {});', SHORT),
    code: 'FUNCTION_TIMEOUT',
  },
  {
    name: 'a storm of ticks',
    spec: culprit('const f = () => process.nextTick(f); f(); await new Promise(() => {});', SHORT),
    code: 'FUNCTION_TIMEOUT',
  },
  {
    name: 'a catastrophic regular expression',
    spec: culprit(`return new Response(String(/^(a+)+$/.test('a'.repeat(40) + '!')));`, SHORT),
    code: 'FUNCTION_TIMEOUT',
  },
  {
    name: 'a wait that nothing ends',
    spec: culprit('Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);', SHORT),
    code: 'FUNCTION_TIMEOUT',
  },
  {
    name: 'synchronous pbkdf2',
    spec: culprit(`process.getBuiltinModule('node:crypto').pbkdf2Sync('p', 's', 2e9, 64, 'sha512');`, SHORT),
    code: 'FUNCTION_TIMEOUT',
  },
  {
    name: 'a stack overflow',
    spec: culprit('const f = () => f() + 1; return new Response(f());'),
    code: 'FUNCTION_EXCEPTION',
    says: /RangeError/,
  },
  { name: 'process.exit', spec: culprit('process.exit(0);'), code: 'FUNCTION_CRASHED' },
  { name: 'process.abort', spec: culprit('process.abort();'), code: 'FUNCTION_CRASHED' },
  {
    name: 'process.kill of the host and of the gateway',
    spec: culprit(`const refused = [];
      for (const pid of [process.pid, process.ppid, 0]) try { process.kill(pid, 'SIGKILL'); } catch (error) { refused.push(error.code); }
      return new Response(refused.join());`),
    code: null,
    says: /^ERR_ACCESS_DENIED,ERR_ACCESS_DENIED,ERR_ACCESS_DENIED$/,
  },
  {
    name: 'an error outside of any request',
    spec: culprit(`setTimeout(() => { throw new Error('later'); }); return new Response('answered');`),
    code: null,
    says: /^answered$/,
  },
  {
    name: 'a rejection that nobody handles',
    spec: culprit(`setTimeout(() => Promise.reject(new Error('later'))); return new Response('answered');`),
    code: null,
    says: /^answered$/,
  },
  {
    name: 'a flood of logs in one turn',
    spec: culprit(`for (let n = 0; n < 200_000; n++) console.log('line', n); return new Response('answered');`),
    code: null,
    says: /^answered$/,
  },
  {
    name: 'a flood of logs over many turns',
    spec: culprit(
      `const text = 'x'.repeat(10_000); for (;;) { for (let n = 0; n < 10; n++) console.log(text); await new Promise((resolve) => setImmediate(resolve)); }`,
      { timeoutMs: 1_000 },
    ),
    code: 'FUNCTION_TIMEOUT',
  },
  {
    name: 'a log line of 50 MB',
    spec: culprit(`console.log('x'.repeat(50e6)); return new Response('answered');`, { memoryMb: 256 }),
    code: null,
    says: /^answered$/,
  },
  {
    name: 'a body that is never read, of a call that is answered',
    spec: culprit(`return new Response('answered');`),
    request: { body: 'x'.repeat(5_000_000) },
    code: null,
    says: /^answered$/,
  },
  {
    name: 'a body that is never read, of a call that is not answered',
    spec: culprit('await new Promise(() => {});', SHORT),
    request: { body: 'x'.repeat(5_000_000) },
    code: 'FUNCTION_TIMEOUT',
  },
  {
    name: 'a thrown object whose getters throw',
    spec: culprit(
      `throw { get message() { throw new Error('m'); }, get stack() { throw new Error('s'); }, toString() { throw new Error('t'); } };`,
    ),
    code: 'FUNCTION_EXCEPTION',
  },
  {
    name: 'a thrown Proxy',
    spec: culprit(
      `throw new Proxy(new Error('x'), new Proxy({}, { get() { return () => { throw new Error('trap'); }; } }));`,
    ),
    code: 'FUNCTION_EXCEPTION',
  },
  {
    name: 'thrown keys named __proto__',
    spec: culprit(
      `throw JSON.parse('{"__proto__":{"polluted":1},"message":"keys","code":"__proto__","constructor":{"prototype":{"polluted":1}}}');`,
    ),
    code: 'FUNCTION_EXCEPTION',
    says: /keys/,
  },
  {
    name: 'a thrown message of 50 MB',
    spec: culprit(`throw new Error('x'.repeat(50e6));`, { memoryMb: 256 }),
    code: 'FUNCTION_EXCEPTION',
  },
  {
    name: 'a header of 50 MB',
    spec: culprit(`return new Response('', { headers: { 'x-long': 'x'.repeat(50e6) } });`, { memoryMb: 512 }),
    code: 'FUNCTION_EXCEPTION',
  },
  {
    name: 'a loop at the top level of a module',
    spec: culpritModule('for (;;);', SHORT),
    request: { unloadable: true },
    code: 'FUNCTION_TIMEOUT',
  },
];

test('what a function may do wrong ends with a coded answer to its caller and leaves nothing behind', async (t) => {
  await Arena.during(t, async (arena) => {
    for (const { name, spec, code, says, request } of CASES) {
      await t.test(`${name}: ${code ?? 'answered'}`, async (one) => {
        const { error, text } = await arena.suffer(one, spec, request);
        assert.equal(error?.code ?? null, code);
        if (says !== undefined) assert.match(error?.message ?? text ?? '', says);
        assert.equal(({} as { polluted?: number }).polluted, undefined);
      });
    }
    await t.test('a response that never ends: its slot is free when the caller goes', async () => {
      const { keeper, logged } = arena.harness;
      const spec = culprit(
        `if (request.url.endsWith('/next')) return new Response('next');
         return new Response(new ReadableStream({
           async pull(controller) { controller.enqueue(new Uint8Array(1000)); await new Promise((resolve) => setTimeout(resolve, 5)); },
           cancel() { console.log('cancelled'); },
         }));`,
        { concurrency: 1, maxInstances: 1 },
      );
      const endless = new Call(keeper, spec);
      await endless.headSeen.promise;
      endless.handle.abort('the caller went away');
      await logged('cancelled');
      await endless.done.promise;
      assert.equal((await ask(keeper, spec, { path: '/next' })).text, 'next');
      await arena.gone(spec);
    });
    await t.test('an error outside of any request retires the base, and the next call has another', async () => {
      const { keeper, event } = arena.harness;
      const spec = culprit(`if (request.url.endsWith('/next')) return new Response('next');
        setTimeout(() => { throw new Error('much later'); }); return new Response('first');`);
      const first = await ask(keeper, spec);
      const retired = await event(({ what, id }) => what === 'retired' && id === first.facts.instance);
      assert.match(retired.why, /much later/);
      const next = await ask(keeper, spec, { path: '/next' });
      assert.equal(next.text, 'next');
      assert.notEqual(next.facts.instance, first.facts.instance);
      await arena.gone(spec);
    });
  });
});
