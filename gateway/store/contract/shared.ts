/** What a store that several gateways use at once has to do besides: one client sees what another did, and hears of it. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { Change } from '../api/changes.ts';
import { defaultQueueSettings } from '../api/queues.ts';
import type { Store } from '../store.ts';
import { artifactOf, cronOf, functionOf, loadAll, NOW, type SharedTest, versionOf } from './harness.ts';
import { ack, claim, enqueue, idsOf, kill, messageOf } from './messages.ts';

export function sharedContract(test: SharedTest): void {
  describe('several clients', () => {
    test('hand each message to one of them, and settle it for all', async (one, two) => {
      const ids = Array.from({ length: 300 }, (_, i) => `m${String(i).padStart(3, '0')}`);
      const seen: string[] = [];
      let produced = false;
      const consume = async (store: Store, owner: string) => {
        for (;;) {
          const last = produced;
          const held = await claim(store, 'q', { most: 7, owner });
          if (held.length === 0 && last) return;
          seen.push(...idsOf(held));
          assert.deepEqual(await ack(store, 'q', held), { refused: [] });
        }
      };
      const produce = async () => {
        for (let at = 0; at < ids.length; at += 10) {
          // Both are told the same messages: one of them takes each.
          await Promise.all([one, two].map((store) => enqueue(store, 'q', ids.slice(at, at + 10))));
        }
        produced = true;
      };
      await Promise.all([produce(), consume(one, 'a'), consume(two, 'b'), consume(two, 'c')]);
      assert.deepEqual(seen.toSorted(), ids);
      assert.equal((await two.queues.stats('q', NOW)).depth, 0);
    });

    test('take over what another held once its lease has ended, and refuse the other', async (one, two) => {
      await enqueue(one, 'q', ['a', 'b']);
      const late = await claim(one, 'q', { most: 9, leaseUntil: NOW + 1000 });
      assert.deepEqual(await claim(two, 'q', { most: 9, nowMs: NOW + 999 }), []);
      const taken = await claim(two, 'q', { most: 9, nowMs: NOW + 1000, leaseUntil: NOW + 5000 });
      assert.deepEqual(idsOf(taken), ['a', 'b']);
      assert.deepEqual(await ack(one, 'q', late), { refused: ['a', 'b'] });
      assert.deepEqual(await one.queues.extend('q', late, NOW + 9000), []);
      assert.deepEqual(await ack(two, 'q', taken), { refused: [] });
    });

    test('let one of them claim a cron, and one take over its run', async (one, two) => {
      await one.crons.replace('f', [cronOf('f', 0)]);
      const due = { id: 'f/0', dueAt: NOW, nextAt: NOW + 60_000, startedAt: NOW, skipped: null, alone: false };
      const claims = await Promise.all(
        [one, two].flatMap((store, s) =>
          Array.from({ length: 10 }, (_, i) =>
            store.crons.claim([{ ...due, invocationId: `inv-${s}-${i}` }], `${s}`, NOW + 10_000),
          ),
        ),
      );
      assert.equal(claims.flat().filter(({ state }) => state === 'claimed').length, 1);
      const taken = await Promise.all(
        [one, two].map((store) => store.crons.takeOver('heir', NOW + 10_000, NOW + 20_000, false)),
      );
      assert.equal(taken.flat().length, 1);
    });

    test('give one answer to one of many who begin it at both', async (one, two) => {
      const times = { nowMs: NOW, leaseUntil: NOW + 1000, expiresAt: NOW + 5000 };
      const begun = await Promise.all(
        [one, two].flatMap((store, s) =>
          Array.from({ length: 10 }, (_, i) => store.answers.begin('s', 'k', 'r', `${s}/${i}`, times)),
        ),
      );
      assert.equal(begun.filter(({ state }) => state === 'begin').length, 1);
      assert.equal(begun.filter(({ state }) => state === 'running').length, 19);
    });

    test('see each what the other deployed, whole, while it is deployed again and again', async (one, two) => {
      const versions = ['v1', 'v2', 'v3', 'v4'];
      let done = false;
      const deploy = async () => {
        for (const version of versions) {
          await one.registry.deploy(versionOf('shop', version), artifactOf(version), functionOf('shop', version));
        }
        done = true;
      };
      const look = async () => {
        for (let last = false; !last; ) {
          last = done;
          const { functions, versions: kept } = await loadAll(two);
          for (const { traffic } of functions) {
            for (const { version } of traffic?.split ?? []) {
              assert.ok(kept.some((record) => record.version === version));
              assert.deepEqual((await two.registry.getArtifact('shop', version))?.code, artifactOf(version).code);
            }
          }
        }
      };
      await Promise.all([deploy(), look()]);
      assert.equal((await loadAll(two)).versions.length, versions.length);
    });
  });

  describe('the feed of changes', () => {
    test('tells every client of each change, in their order, its own too', async (one, two) => {
      const heard = [one, two].map(listen);
      await one.registry.deploy(versionOf('shop', 'v1'), artifactOf('1'), functionOf('shop', 'v1'));
      await two.secrets.put('shop', 'K', new Uint8Array([1]), NOW);
      await one.queues.put('orders', defaultQueueSettings('orders'));
      await two.crons.replace('shop', [cronOf('shop', 0)]);
      await two.crons.setPaused('shop/0', true, null);
      await one.publications.withdraw('shop');
      await one.tokens.put({ id: 't', hash: '', scopes: [], trustGroups: [], routes: [], createdAt: NOW });
      await two.tokens.delete('t');
      await two.registry.deleteFunction('shop');
      const expected = [
        'function shop',
        'function shop',
        'queue orders',
        'cron shop',
        'cron shop',
        'publication shop',
        'token t',
        'token t',
        'publication shop',
        'function shop',
      ];
      for (const { changes, heardOf } of heard) {
        await heardOf((all) => all.length >= expected.length);
        assert.deepEqual(changes, expected);
      }
    });

    test('has another revision of a function after each change of it, and the same one until then', async (one, two) => {
      const read = async () => {
        const revisions = await two.changes.revisions();
        assert.deepEqual(await one.changes.revisions(), revisions);
        return revisions;
      };
      assert.equal((await read()).size, 0);
      await one.registry.deploy(versionOf('cart', 'v1'), artifactOf('1'), functionOf('cart', 'v1'));
      await one.registry.deploy(versionOf('shop', 'v1'), artifactOf('1'), functionOf('shop', 'v1'));
      const cart = (await read()).get('cart');
      assert.ok(cart !== undefined);
      const seen = new Set([(await read()).get('shop')]);
      const changes = [
        () => one.registry.putVersion(versionOf('shop', 'v2'), artifactOf('2')),
        () => two.registry.putFunctions([functionOf('shop', 'v2')]),
        () => one.secrets.put('shop', 'K', new Uint8Array([1]), NOW),
        () => two.secrets.delete('shop', 'K'),
        () => one.registry.deleteVersion('shop', 'v1'),
        () => two.registry.deleteFunction('shop'),
        () => one.registry.putFunction(functionOf('shop', 'v1')),
      ];
      for (const change of changes) {
        await change();
        const revisions = await read();
        seen.add(revisions.get('shop'));
        assert.equal(revisions.get('cart'), cart);
      }
      assert.equal(seen.size, 1 + changes.length);
    });

    test('tells nothing of what changes nothing, and nobody who has stopped listening', async (one, two) => {
      const first = listen(two);
      const second = listen(two);
      await one.tokens.delete('none');
      await one.registry.deleteVersion('none', 'v1');
      await one.queues.delete('none');
      assert.equal(await one.crons.setPaused('none', true, null), false);
      first.stop();
      await one.queues.put('orders', defaultQueueSettings('orders'));
      await second.heardOf((all) => all.length > 0);
      assert.deepEqual(second.changes, ['queue orders']);
      assert.deepEqual(first.changes, []);
    });

    test('says where messages wait, also those that come later, back, or dead', async (one, two) => {
      const { changes, heardOf } = listen(two);
      const told = async (what: string, times: number) => {
        await heardOf((all) => all.filter((change) => change === what).length >= times);
      };
      await enqueue(one, 'q', ['a']);
      await told('messages q', 1);
      assert.ok(changes.includes('queue q'), 'it was made');
      const held = await claim(one, 'q', { most: 1 });
      await one.queues.enqueue('q', [{ ...messageOf('late'), delayS: 60 }], NOW);
      await told('messages q', 2);
      await kill(one, 'q', held);
      await told('messages q.dead', 1);
      await one.queues.redrive('q', 'all', NOW);
      await told('messages q', 3);
      const [again] = await claim(one, 'q', { most: 1 });
      assert.ok(again !== undefined);
      const { id, fence } = again;
      const retry = { id, fence, verdict: 'retry' as const, dueAt: NOW + 5, countAttempt: true, reason: '' };
      await one.queues.settle('q', [retry], NOW);
      await told('messages q', 4);
    });
  });
}

function listen(store: Store) {
  const changes: string[] = [];
  let look: () => void = () => undefined;
  const stop = store.changes.listen((told: Change[] | null) => {
    changes.push(...(told ?? [{ kind: 'everything', name: '' }]).map(({ kind, name }) => `${kind} ${name}`));
    look();
  });
  return {
    changes,
    stop,
    heardOf: (what: (changes: string[]) => boolean) =>
      new Promise<void>((resolve) => {
        look = () => {
          if (what(changes)) resolve();
        };
        look();
      }),
  };
}
