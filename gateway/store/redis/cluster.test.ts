/** A Redis Cluster of two nodes, one of which has all our keys. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { NOW } from '../contract/harness.ts';
import { ack, claim, enqueue, idsOf } from '../contract/messages.ts';
import { openOn } from './testing/open.ts';
import { REDIS_MISSING, type RedisServer, startRedis } from './testing/server.ts';

const CLUSTER = { config: { 'cluster-enabled': 'yes', 'cluster-node-timeout': '60000' } };
/** In the half of the second node. */
const SPLIT = 8192;

describe('the Redis store on a cluster', { skip: REDIS_MISSING }, () => {
  it('finds the node that has its keys, works there, and follows them to another', async () => {
    await using first = await startRedis(CLUSTER);
    await using second = await startRedis(CLUSTER);
    const nodes = [first, second];
    const slot = Number(await first.command('CLUSTER', 'KEYSLOT', '{hearth}:store'));
    const [holder, other] = slot < SPLIT ? [first, second] : [second, first];
    await first.command('CLUSTER', 'ADDSLOTSRANGE', 0, SPLIT - 1);
    await second.command('CLUSTER', 'ADDSLOTSRANGE', SPLIT, 16_383);
    await second.command('CLUSTER', 'SET-CONFIG-EPOCH', 2);
    await first.command('CLUSTER', 'MEET', '127.0.0.1', second.port);
    for (const node of nodes) await known(node);

    await using opened = await openOn(other);
    const { store, log } = opened;
    await enqueue(store, 'q', ['a', 'b']);
    assert.ok(Number(await holder.command('DBSIZE')) > 0);
    assert.equal(Number(await other.command('DBSIZE')), 0);
    const heard = new Promise<void>((resolve) => {
      store.changes.listen((changes) => {
        if (changes?.some(({ name }) => name === 't')) resolve();
      });
    });
    await store.tokens.put({ id: 't', hash: '', scopes: [], trustGroups: [], routes: [], createdAt: NOW });
    await heard;

    // The slot moves as an operator moves it.
    const [holderId, otherId] = await Promise.all(
      [holder, other].map(async (node) => String(await node.command('CLUSTER', 'MYID'))),
    );
    await other.command('CLUSTER', 'SETSLOT', slot, 'IMPORTING', holderId ?? '');
    await holder.command('CLUSTER', 'SETSLOT', slot, 'MIGRATING', otherId ?? '');
    const keys = (await holder.command('CLUSTER', 'GETKEYSINSLOT', slot, 1000)) as string[];
    await holder.command('MIGRATE', '127.0.0.1', other.port, '', 0, 5000, 'KEYS', ...keys);
    for (const node of [other, holder]) await node.command('CLUSTER', 'SETSLOT', slot, 'NODE', otherId ?? '');

    const before = log.lines.length;
    await assert.rejects(claim(store, 'q', { most: 9 }));
    await log.said(/^Redis at \S+ is back/, before);
    const held = await claim(store, 'q', { most: 9 });
    assert.deepEqual(idsOf(held), ['a', 'b']);
    assert.deepEqual(await ack(store, 'q', held), { refused: [] });
  });
});

/** A cluster tells nobody when it has come together. */
async function known(node: RedisServer): Promise<void> {
  while (!String(await node.command('CLUSTER', 'INFO')).includes('cluster_state:ok')) await pause(20);
}
