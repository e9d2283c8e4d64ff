import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HearthError } from '../../../functions/contract/errors.ts';
import { ask, fetchModule } from '../testing/harness.ts';
import { Arena, culprit } from './arena.ts';

/** Neither interrupted nor ended: the host has to go. */
const KILLER = `if (request.url.endsWith('/well')) return new Response('well');
  const a = []; for (;;) a.push({ x: new Array(100).fill(1) });`;

test('a function that takes down three hosts within a minute is quarantined, its neighbours are not', async (t) => {
  await Arena.during(t, async (arena) => {
    const { keeper, events, event } = arena.harness;
    const spec = culprit(KILLER);
    const neighbour = fetchModule(`return new Response('fine')`);
    for (let host = 0; host < 3; host++) {
      assert.equal((await ask(keeper, neighbour)).text, 'fine');
      await assert.rejects(ask(keeper, spec), { code: 'FUNCTION_CRASHED' });
      await event(({ subject, what }) => {
        const gone = events.filter((each) => each.subject === 'host' && each.what === 'killed');
        return subject === 'host' && what === 'killed' && gone.length > host;
      });
    }
    for (const gone of events.filter(({ subject, what }) => subject === 'host' && what === 'killed')) {
      assert.equal(gone.function, spec.functionName);
    }
    const told = await event(({ what }) => what === 'quarantined');
    assert.equal(told.function, spec.functionName);
    assert.match(told.why, /memory limit/);
    await assert.rejects(ask(keeper, spec, { path: '/well' }), (error: HearthError) => {
      assert.equal(error.code, 'OVERLOADED');
      assert.match(error.message, /quarantine.*3 hosts within a minute.*memory limit/);
      assert.ok((error.retryAfterS ?? 0) > 60);
      return true;
    });
    assert.equal((await ask(keeper, neighbour)).text, 'fine');

    await t.test('a new version of it is served', async () => {
      const mended = { ...spec, key: `${spec.functionName}@2+0`, version: '2' };
      assert.equal((await ask(keeper, mended, { path: '/well' })).text, 'well');
    });

    await t.test('the same version is served once it has been deployed again', async () => {
      await keeper.probe(spec, null);
      assert.equal((await ask(keeper, spec, { path: '/well' })).text, 'well');
      assert.ok(events.some(({ what, id }) => what === 'lifted' && id === spec.key));
    });

    await t.test('what is served apart from it is lifted with it', async () => {
      // As a split of a publication: the same code under a key that continues the version's.
      const part = { ...spec, key: `${spec.key}/web/batch` };
      for (let host = 0; host < 3; host++) await assert.rejects(ask(keeper, part), { code: 'FUNCTION_CRASHED' });
      await event(({ what, id }) => what === 'quarantined' && id === part.key);
      await assert.rejects(ask(keeper, part, { path: '/well' }), { code: 'OVERLOADED' });
      await keeper.probe(spec, null);
      assert.equal((await ask(keeper, part, { path: '/well' })).text, 'well');
      assert.ok(events.some(({ what, id }) => what === 'lifted' && id === part.key));
    });
  });
});
