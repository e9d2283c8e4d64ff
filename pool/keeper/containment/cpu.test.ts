import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask, Call } from '../testing/harness.ts';
import { Arena, culprit } from './arena.ts';

const LIMITS = { cpuMs: 100, timeoutMs: 20_000 };
/** Spins for so many ms of this thread's own CPU. */
const SPIN = `const used = () => { const { user, system } = process.threadCpuUsage(); return user + system; };
  const spin = (ms) => { const from = used(); while (used() - from < ms * 1000); };`;

test('limits.cpu_ms bounds one uninterrupted turn of the loop', async (t) => {
  await Arena.during(t, async (arena) => {
    const { keeper, logged, event } = arena.harness;

    for (const [name, body] of Object.entries({
      'a loop': 'for (;;);',
      'a loop after an await': `await new Promise((resolve) => setTimeout(resolve, 50)); for (;;);`,
      'a storm of microtasks': 'const f = () => void Promise.resolve().then(f); f(); await new Promise(() => {});',
      'synchronous pbkdf2': `process.getBuiltinModule('node:crypto').pbkdf2Sync('p', 's', 2e9, 64, 'sha512');`,
    })) {
      await t.test(`${name}: FUNCTION_TIMEOUT, which names the limit`, async (one) => {
        const { error } = await arena.suffer(one, culprit(body, LIMITS));
        assert.equal(error?.code, 'FUNCTION_TIMEOUT');
        assert.match(error.message, /100 ms of CPU.*limits\.cpu_ms/);
      });
    }

    await t.test('many turns that are each below the limit are served, however much they use together', async (one) => {
      const spec = culprit(
        `${SPIN} for (let n = 0; n < 20; n++) { spin(20); await new Promise((resolve) => setImmediate(resolve)); } return new Response('whole');`,
        LIMITS,
      );
      assert.equal((await arena.suffer(one, spec)).text, 'whole');
    });

    await t.test('waiting is not using: a turn blocked without CPU ends by the wall clock', async (one) => {
      const spec = culprit(
        'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600); return new Response("woken");',
        LIMITS,
      );
      assert.equal((await arena.suffer(one, spec)).text, 'woken');
    });

    await t.test('who runs beside it gets FUNCTION_CRASHED, and the next call a new base', async () => {
      const spec = culprit(
        `const { pathname } = new URL(request.url);
       if (pathname === '/next') return new Response('next');
       if (pathname === '/beside') { console.log('waiting'); await new Promise(() => {}); }
       await request.text(); for (;;);`,
        { ...LIMITS, concurrency: 64 },
      );
      const beside = new Call(keeper, spec, { path: '/beside' });
      await logged('waiting');
      const bases = keeper.snapshot().hosts.flatMap((host) => host.bases);
      const instance = bases.find((base) => base.function === spec.functionName)?.id;
      await assert.rejects(ask(keeper, spec, { path: '/spin', body: 'some' }), { code: 'FUNCTION_TIMEOUT' });
      await assert.rejects(beside.answer.promise, { code: 'FUNCTION_CRASHED' });
      const killed = await event(({ what, id }) => what === 'killed' && id === instance);
      assert.match(killed.why, /limits\.cpu_ms/);
      const next = await ask(keeper, spec, { path: '/next' });
      assert.equal(next.text, 'next');
      assert.notEqual(next.facts.instance, instance);
    });
  });
});
