import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HearthError } from '../../../functions/contract/errors.ts';
import { ask, Call, fetchModule, moduleOf, startKeeper } from '../testing/harness.ts';
import { Arena, CULPRIT_LIMITS } from './arena.ts';

test('a host that stands still is killed from outside, and its calls hear of it', async (t) => {
  const { keeper, events, event, logged } = await startKeeper(t);
  const spec = fetchModule(
    `if (request.url.endsWith('/next')) return new Response('next'); console.log('here'); await new Promise(() => {});`,
  );
  const call = new Call(keeper, spec);
  await logged('here');
  const host = keeper.snapshot().hosts.find(({ bases }) => bases.some((base) => base.function === spec.functionName));
  assert.ok(host?.pid);
  process.kill(host.pid, 'SIGSTOP');
  await assert.rejects(call.answer.promise, { code: 'FUNCTION_CRASHED', message: /its host died/ });
  // By the heartbeat, or because a base of its stock did not end when it was told to.
  const killed = await event(({ subject, id, what }) => subject === 'host' && id === host.id && what === 'killed');
  assert.match(killed.why, /answered nothing|did not end/);
  assert.equal((await ask(keeper, spec, { path: '/next' })).text, 'next');
  assert.ok(!events.some(({ what }) => what === 'quarantined'));
});

test('a deploy whose code never comes to its end, or takes too much memory, is refused', async (t) => {
  await Arena.during(t, async (arena) => {
    const { keeper } = arena.harness;
    const cases: [source: string, says: RegExp, timeoutMs?: number][] = [
      ['for (;;);', /did not load within 400 ms/],
      [
        'exports.default = new Promise(() => {}); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);',
        /400 ms/,
      ],
      ['const a = []; for (;;) a.push({ x: new Array(100).fill(1) });', /memory limit of 64 MB/, 5_000],
      ['process.exit(0);', /died/],
    ];
    for (const [source, says, timeoutMs = 400] of cases) {
      const spec = moduleOf(source, { limits: { ...CULPRIT_LIMITS, timeoutMs } });
      await assert.rejects(keeper.probe(spec, null), (error: HearthError) => {
        assert.equal(error.code, 'PROBE_FAILED');
        assert.match(error.message, says);
        return true;
      });
    }
  });
});

test('when hosts come near to the memory they may use, idle instances go and the next calls are served', async (t) => {
  const { keeper, event } = await startKeeper(t, { memoryMb: 150, warmBases: 2, basesPerHost: 16 });
  const keeping = Array.from({ length: 6 }, () =>
    moduleOf(
      `const kept = Buffer.alloc(24 * 1024 * 1024, 1); exports.default = { fetch: () => new Response(String(kept.length)) };`,
    ),
  );
  for (const spec of keeping) assert.equal((await ask(keeper, spec)).text, String(24 * 1024 * 1024));
  const gone = await event(({ why }) => why === 'memory runs short');
  assert.ok(keeping.some(({ functionName }) => functionName === gone.function) || gone.function === undefined);
  for (const spec of keeping) assert.equal((await ask(keeper, spec)).status, 200);
});

test('when hosts are over the memory they may use, who has a base is served, and who has none waits for room', async (t) => {
  const harness = await startKeeper(t, { memoryMb: 260, warmBases: 1, basesPerHost: 16 });
  const { keeper, logged, event, events, until } = harness;
  const holder = fetchModule(
    `if (request.url.endsWith('/next')) return new Response('next');
     globalThis.kept = Buffer.alloc(288 * 1024 * 1024, 1); console.log('holding');
     await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve)); return new Response('unheard');`,
    { limits: { memoryMb: 512 } },
  );
  const held = new Call(keeper, holder);
  await logged('holding');
  // It alone holds more than all may, whatever a host takes by itself; what was on its way to the stock has arrived.
  await until(() => {
    const { pools, bases } = keeper.snapshot();
    return pools[0]?.pressure === 'full' && bases.booting + bases.rehearsing === 0;
  });
  const waiting = () => keeper.snapshot().waiting > 0;
  const started = () => events.filter(({ what, subject }) => what === 'started' && subject === 'base').length;
  const bases = started();
  // Until the stock is used up.
  for (let answered = true; answered; ) {
    const { promise } = new Call(keeper, fetchModule(`return new Response('fine')`)).answer;
    const fine = promise.then(() => true);
    fine.catch(() => undefined);
    answered = await Promise.race([fine, until(waiting).then(() => false)]);
  }
  for (let n = 0; n < 20; n++) assert.equal((await ask(keeper, holder, { path: '/next' })).text, 'next');
  assert.equal(started(), bases, 'no base was booted meanwhile');
  held.handle.abort('enough');
  await event(({ why, function: of }) => why === 'memory runs short' && of === holder.functionName);
  assert.equal((await ask(keeper, fetchModule(`return new Response('fine')`))).text, 'fine');
});
