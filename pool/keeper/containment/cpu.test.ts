import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { ModuleSpec } from '../api.ts';
import { ask, Call, fetchModule, startKeeper } from '../testing/harness.ts';
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

test('a base that computes stands back behind one that answers, and both go on', async (t) => {
  const { keeper, until } = await startKeeper(t, { basesPerHost: 1 });
  const burner = fetchModule(`${SPIN} spin(40); return new Response('burnt');`, { trustGroup: 'burning' });
  const well = fetchModule(`return new Response('well');`);
  let stopped = false;
  const calls = [burner, well].map(async (spec) => {
    while (!stopped) await ask(keeper, spec);
  });
  const nicenessOf = (spec: ModuleSpec): number => {
    const host = keeper.snapshot().hosts.find(({ bases }) => bases.some((base) => base.function === spec.functionName));
    assert.ok(host?.pid);
    for (const task of readdirSync(`/proc/${host.pid}/task`)) {
      const stat = readFileSync(`/proc/${host.pid}/task/${task}/stat`, 'utf8');
      // Fields count from behind the name: state, parent, …, niceness.
      if (stat.includes('(WorkerThread)')) return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
    }
    return Number.NaN;
  };
  try {
    await Promise.all([ask(keeper, burner), ask(keeper, well)]);
    await until(() => nicenessOf(burner) === 19);
    assert.equal(nicenessOf(well), 5);
  } finally {
    stopped = true;
    await Promise.all(calls);
  }
});
