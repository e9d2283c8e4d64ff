/** Named pools over real hosts and bases: apart from each other, lending, moving, placement. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { LENT_IDLE_MS } from './policy/lend.ts';
import type { FleetSettings } from './settings.ts';
import { ask, Call, fetchModule, type Harness, type SpecOptions, startKeeper } from './testing/harness.ts';

const OK = `return new Response('ok')`;
/** Answers when the body of its request has come to its end. */
const HELD = `console.log('held ' + new URL(request.url).pathname); await request.text(); return new Response('done')`;
const ONE_CALL = { concurrency: 1, maxInstances: 8, keepAlive: 86_400 } as const;

type Pool = Harness & ReturnType<typeof views>;

function views({ keeper, events, until }: Harness) {
  const hosts = (pool: string) => keeper.snapshot().hosts.filter((host) => host.pool === pool);
  const named = (name: string) => {
    const found = keeper.snapshot().pools.find((pool) => pool.name === name);
    assert.ok(found, name);
    return found;
  };
  return {
    hosts,
    named,
    pids: () => keeper.snapshot().hosts.map(({ pid }) => pid),
    /** So many bases of this pool are warm, and none of any pool is on its way. */
    atRest: (pool: string, warm: number) =>
      until(() => {
        const { bases } = keeper.snapshot();
        return named(pool).bases.warm === warm && bases.booting + bases.rehearsing === 0;
      }),
    started: () => events.filter(({ subject, what }) => subject === 'host' && what === 'started').length,
  };
}

async function start(t: TestContext, settings: Partial<FleetSettings>, clock?: () => number): Promise<Pool> {
  const harness = await startKeeper(t, settings, clock);
  return Object.assign(harness, views(harness));
}

/** A call that runs until `end`. */
async function hold(pool: Pool, spec: ReturnType<typeof fetchModule>, path: string): Promise<Call> {
  const call = new Call(pool.keeper, spec, { method: 'POST', path, open: true });
  // One that is refused never gets so far: then the test ends with the reason.
  await Promise.race([pool.logged(`held ${path}`), call.answer.promise]);
  return call;
}

async function finish(call: Call): Promise<void> {
  call.handle.end();
  assert.equal((await call.answer.promise).text, 'done');
  await call.done.promise;
}

const inBatch = (body: string, options: SpecOptions = {}) => fetchModule(body, { ...options, pool: 'batch' });

test('a pool that is overloaded with busy functions leaves those of another all their bases, and none of their calls fails', async (t) => {
  const pool = await start(t, {
    warmBases: 1,
    basesPerHost: 4,
    maxBases: 7,
    pools: { default: { maxBases: 4 }, batch: { maxBases: 3 } },
  });
  const { keeper } = pool;
  const burning = Array.from({ length: 6 }, () =>
    inBatch(`const until = Date.now() + 25; while (Date.now() < until); ${OK}`, { limits: ONE_CALL }),
  );
  let stop = false;
  let burnt = 0;
  const load = burning.flatMap((spec) =>
    Array.from({ length: 3 }, async () => {
      while (!stop) {
        await ask(keeper, spec).catch(() => null);
        burnt++;
      }
    }),
  );
  await pool.until(() => pool.named('batch').bases.leased === 3);

  const steady = Array.from({ length: 3 }, () => fetchModule(OK));
  for (const spec of steady) assert.equal((await ask(keeper, spec)).facts.start, 'cold');
  for (let n = 0; n < 30; n++) {
    const answers = await Promise.all(steady.map((spec) => ask(keeper, spec)));
    assert.deepEqual(new Set(answers.map(({ text, facts }) => `${text} ${facts.start}`)), new Set(['ok warm']));
  }
  // Its stock too is filled up again while the other pool boots base after base.
  await pool.until(() => pool.named('default').bases.warm === 1);
  const { bases, maxBases } = pool.named('batch');
  assert.ok(bases.leased + bases.draining <= maxBases);
  assert.ok(pool.hosts('default').every(({ bases: held }) => held.length <= 4));
  stop = true;
  await Promise.all(load);
  assert.ok(burnt > 0);
});

test('a full pool borrows from the buffer under load: no call fails and no process is started', async (t) => {
  const pool = await start(t, {
    warmBases: 1,
    maxBases: 6,
    basesPerHost: 2,
    pools: { default: { maxBases: 2 }, batch: { maxBases: 2, warm: 0 }, buffer: { maxBases: 2, warm: 2 } },
  });
  const spec = inBatch(HELD, { limits: ONE_CALL });
  const calls = [await hold(pool, spec, '/1'), await hold(pool, spec, '/2')];
  await pool.atRest('buffer', 2);
  assert.equal(pool.named('batch').borrowed, 0);
  const [pids, started] = [pool.pids(), pool.started()];

  calls.push(...(await Promise.all(['/3', '/4'].map((path) => hold(pool, spec, path)))));
  assert.deepEqual(pool.pids(), pids);
  assert.equal(pool.started(), started);
  const [lent] = pool.hosts('batch').filter(({ lentBy }) => lentBy === 'buffer');
  assert.deepEqual(
    lent?.bases.map(({ state }) => state),
    ['leased', 'leased'],
  );
  assert.deepEqual([pool.named('batch').borrowed, pool.named('buffer').lent], [2, 2]);
  const told = pool.events.find(({ what }) => what === 'lent');
  assert.deepEqual([told?.id, told?.pool], [lent?.id, 'batch']);
  assert.match(told?.why ?? '', /"batch" is full and \d leases? waits? there: it brings 2 warm bases/);

  // What the buffer lent counts against its own size: nothing is booted in its place meanwhile.
  assert.equal(pool.named('buffer').hosts, 0);
  for (const call of calls) await finish(call);
  assert.deepEqual(pool.pids(), pids);
});

test('what was lent goes back when it is idle, whatever keep-alive says: a new process, since it has served', async (t) => {
  let now = 0;
  const pool = await start(
    t,
    {
      warmBases: 1,
      maxBases: 4,
      basesPerHost: 2,
      pools: { default: { maxBases: 1 }, batch: { maxBases: 1, warm: 0 }, buffer: { maxBases: 2, warm: 1 } },
    },
    () => now,
  );
  const spec = inBatch(HELD, { limits: ONE_CALL });
  const own = await hold(pool, spec, '/own');
  await pool.atRest('buffer', 1);
  const borrowed = await hold(pool, spec, '/borrowed');
  const [lent] = pool.hosts('batch').filter(({ lentBy }) => lentBy !== null);
  assert.ok(lent);
  await finish(borrowed);

  now += LENT_IDLE_MS;
  const back = await pool.event(({ what }) => what === 'returned');
  assert.equal(back.id, lent.id);
  assert.match(back.why, /by a new process in its place, since it has served: idle for 10 s/);
  await pool.event(({ what, id }) => what === 'died' && id === lent.id);
  await pool.until(() => pool.named('buffer').bases.warm === 1);
  assert.ok(
    pool
      .hosts('buffer')
      .every(({ pid, lentBy, trustGroup }) => pid !== lent.pid && lentBy === null && trustGroup === null),
  );
  await finish(own);
});

test('a lent host that somebody uses again and again stays lent', async (t) => {
  let now = 0;
  const pool = await start(
    t,
    {
      warmBases: 1,
      maxBases: 3,
      pools: { default: { maxBases: 1 }, batch: { maxBases: 1, warm: 0 }, buffer: { maxBases: 1 } },
    },
    () => now,
  );
  const spec = inBatch(HELD, { limits: ONE_CALL });
  const own = await hold(pool, spec, '/own');
  await pool.atRest('buffer', 1);
  // Somebody else's idle time is what shows that the pool was looked after.
  const marker = fetchModule(OK, { limits: { keepAlive: 5 } });
  for (let n = 0; n < 3; n++) {
    await finish(await hold(pool, spec, `/${n}`));
    await ask(pool.keeper, marker);
    now += LENT_IDLE_MS - 1;
    const retired = () =>
      pool.events.filter(({ what, function: of }) => what === 'retired' && of === marker.functionName);
    await pool.until(() => retired().length === n + 1);
  }
  assert.equal(
    pool.events.some(({ what }) => what === 'returned'),
    false,
  );
  assert.equal(pool.named('batch').borrowed, 1);
  await finish(own);
});

test('two pools that are full at once borrow a host each', async (t) => {
  const small = { maxBases: 1, warm: 0 };
  const pool = await start(t, {
    warmBases: 1,
    maxBases: 5,
    basesPerHost: 1,
    pools: { default: { maxBases: 1 }, batch: small, reports: small, buffer: { maxBases: 2, warm: 2 } },
  });
  const specs = ['batch', 'reports'].map((name) => fetchModule(HELD, { pool: name, limits: ONE_CALL }));
  const calls = await Promise.all(specs.map((spec) => hold(pool, spec, `/${spec.pool}/own`)));
  await pool.atRest('buffer', 2);
  calls.push(...(await Promise.all(specs.map((spec) => hold(pool, spec, `/${spec.pool}/borrowed`)))));
  assert.deepEqual([pool.named('batch').borrowed, pool.named('reports').borrowed], [1, 1]);
  for (const call of calls) await finish(call);
});

test('what idles in a pool makes room before the buffer lends anything', async (t) => {
  const pool = await start(t, {
    warmBases: 1,
    maxBases: 3,
    pools: { default: { maxBases: 1 }, batch: { maxBases: 1, warm: 0 }, buffer: { maxBases: 1 } },
  });
  await pool.atRest('buffer', 1);
  const [first, next] = [inBatch(OK), inBatch(OK)];
  assert.equal((await ask(pool.keeper, first)).text, 'ok');
  assert.equal((await ask(pool.keeper, next)).text, 'ok');
  assert.equal(
    pool.events.some(({ what }) => what === 'lent'),
    false,
  );
});

test('a host without a lease moves as it is, with its process, its warm bases and the room they take', async (t) => {
  const pool = await start(t, {
    warmBases: 2,
    maxBases: 8,
    basesPerHost: 4,
    pools: { default: { maxBases: 6 }, batch: { maxBases: 2, warm: 0 } },
  });
  await pool.atRest('default', 2);
  const [host] = pool.hosts('default');
  assert.ok(host);
  assert.equal(pool.keeper.moveHost(host.id, 'batch'), 'moved');
  assert.deepEqual([pool.named('default').maxBases, pool.named('batch').maxBases], [4, 4]);
  const { facts } = await ask(pool.keeper, inBatch(OK));
  assert.equal(facts.host, host.id);
  assert.equal(pool.hosts('batch').find(({ id }) => id === host.id)?.pid, host.pid);
  assert.match(pool.events.find(({ what }) => what === 'moved')?.why ?? '', /from "default" to "batch".*2 bases/);
});

test('a host that serves drains when it is moved: what runs in it ends well, what comes begins elsewhere', async (t) => {
  const pool = await start(t, {
    warmBases: 1,
    maxBases: 12,
    basesPerHost: 4,
    pools: { default: { maxBases: 8 }, batch: { maxBases: 4, warm: 0 } },
  });
  const spec = fetchModule(HELD);
  const call = await hold(pool, spec, '/before');
  const { id } = pool.hosts('default').find(({ trustGroup }) => trustGroup !== null) ?? { id: '' };
  assert.equal(pool.keeper.moveHost(id, 'batch'), 'draining');
  assert.throws(() => pool.keeper.moveHost(id, 'batch'), { code: 'CONFLICT', message: /is draining/ });
  const after = await hold(pool, spec, '/after');
  await finish(after);
  assert.notEqual((await after.answer.promise).facts.host, id);
  await finish(call);
  assert.equal((await call.answer.promise).facts.host, id);
  await pool.event(({ what, id: of }) => what === 'died' && of === id);
  assert.ok(pool.named('batch').maxBases > 4);
  assert.equal(pool.named('default').maxBases + pool.named('batch').maxBases, 12);
  assert.equal((await ask(pool.keeper, inBatch(OK))).text, 'ok');
});

test('a group whose host is moved stands in another base at once, with all its modules', async (t) => {
  const pool = await start(t, {
    warmBases: 1,
    maxBases: 12,
    basesPerHost: 4,
    pools: { default: { maxBases: 8 }, batch: { maxBases: 4, warm: 0 } },
  });
  const modules = [1, 2].map(() => ({ ...fetchModule(OK), group: 'together' }));
  const hostsOf = async () => {
    const answers = await Promise.all(modules.map((spec) => ask(pool.keeper, spec)));
    return [...new Set(answers.map(({ facts }) => facts.host))];
  };
  const [before, ...others] = await hostsOf();
  assert.deepEqual(others, []);
  assert.equal(pool.keeper.moveHost(before ?? '', 'batch'), 'draining');
  const after = await hostsOf();
  assert.equal(after.length, 1);
  assert.notEqual(after[0], before);
  await pool.event(({ what, id }) => what === 'died' && id === before);
});

test('a move is refused when the host or the pool is not there, nothing would be left, or the host is lent', async (t) => {
  const pool = await start(t, {
    warmBases: 1,
    maxBases: 4,
    basesPerHost: 1,
    pools: { default: { maxBases: 1 }, batch: { maxBases: 1, warm: 0 }, buffer: { maxBases: 1 }, spare: {} },
  });
  await pool.atRest('buffer', 1);
  const { keeper } = pool;
  const [own] = pool.hosts('default');
  assert.ok(own);
  assert.throws(() => keeper.moveHost('host-none', 'batch'), { code: 'NOT_FOUND', message: /"host-none"/ });
  assert.throws(() => keeper.moveHost(own.id, 'none'), {
    code: 'BAD_REQUEST',
    message: /"none".*default, batch, buffer, spare/,
  });
  assert.throws(() => keeper.moveHost(own.id, 'batch'), { code: 'CONFLICT', message: /nothing would be left/ });
  assert.equal(keeper.moveHost(own.id, 'default'), 'moved');

  const spec = inBatch(HELD, { limits: ONE_CALL });
  const calls = [await hold(pool, spec, '/own'), await hold(pool, spec, '/borrowed')];
  const [lent] = pool.hosts('batch').filter(({ lentBy }) => lentBy !== null);
  assert.ok(lent);
  assert.throws(() => keeper.moveHost(lent.id, 'spare'), { code: 'CONFLICT', message: /only go back to "buffer"/ });
  assert.equal(keeper.moveHost(lent.id, 'buffer'), 'draining');
  for (const call of calls) await finish(call);
  await pool.event(({ what, id }) => what === 'died' && id === lent.id);
});

test('a pool whose size is lowered gives up what nobody uses, and one that is raised takes more', async (t) => {
  const pool = await start(t, { warmBases: 3, maxBases: 6, pools: { batch: { maxBases: 3, warm: 0 } } });
  await pool.atRest('default', 3);
  pool.keeper.changePool('default', { maxBases: 1 });
  await pool.until(() => pool.named('default').bases.warm === 1);
  pool.keeper.changePool('batch', { maxBases: 5, warm: 2 });
  await pool.until(() => pool.named('batch').bases.warm === 2);
  assert.throws(() => pool.keeper.changePool('batch', { maxBases: 6 }), { code: 'CONFLICT' });
});

test('a function of a pool that is not there, or of the buffer, hears of those there are', async (t) => {
  const { keeper } = await start(t, { warmBases: 1, pools: { batch: {}, buffer: {} } });
  for (const name of ['gone', 'buffer']) {
    const spec = fetchModule(OK, { pool: name, limits: { minInstances: 1, reserved: 1 } });
    keeper.activate(spec);
    const told = { code: 'NO_CAPACITY', message: new RegExp(`"${name}" for functions; there are: default, batch`) };
    await assert.rejects(ask(keeper, spec), told);
  }
  assert.equal((await ask(keeper, fetchModule(OK))).text, 'ok');
});

for (const [placement, expected] of [
  ['pack', [4]],
  ['spread', [2, 2]],
] as const) {
  test(`four functions under "${placement}" stand ${expected.join(' and ')} to a host`, async (t) => {
    const pool = await start(t, {
      warmBases: 4,
      maxBases: 8,
      basesPerHost: 4,
      pools: { default: { placement } },
    });
    for (let n = 0; n < 4; n++) {
      // A host nobody has used yet has bases to choose from, and so has each that was.
      await pool.until(() => {
        const warm = pool.hosts('default').map(({ trustGroup, bases }) => ({
          trustGroup,
          count: bases.filter(({ state }) => state === 'warm').length,
        }));
        const unbound = warm.filter(({ trustGroup, count }) => trustGroup === null && count > 1);
        const bound = warm.filter(({ trustGroup, count }) => trustGroup !== null && count > 0);
        return (n > 1 || unbound.length > 0) && (n === 0 || bound.length > 0);
      });
      await ask(pool.keeper, fetchModule(OK, { limits: { keepAlive: 86_400 } }));
    }
    const leased = pool.hosts('default').map(({ bases }) => bases.filter(({ state }) => state === 'leased').length);
    assert.deepEqual(leased.filter((count) => count > 0).sort(), [...expected]);
  });
}
