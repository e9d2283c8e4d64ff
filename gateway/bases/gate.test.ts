import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBaseGate } from './gate.ts';

/** Work that says when it begins, and ends when it is told to. */
function rig() {
  const gate = createBaseGate();
  const begun: string[] = [];
  const open = new Map<string, PromiseWithResolvers<void>>();
  const work = (name: string) => {
    const held = Promise.withResolvers<void>();
    open.set(name, held);
    return async () => {
      begun.push(name);
      await held.promise;
      return name;
    };
  };
  return {
    gate,
    begun,
    commit: (name: string) => gate.commit(work(name)),
    switch: (name: string) => gate.switch('default', work(name)),
    end: (name: string) => open.get(name)?.resolve(),
    fail: (name: string) => open.get(name)?.reject(new Error(name)),
    /** Everything that can begin has begun. */
    settled: () => new Promise((resolve) => setImmediate(resolve)),
  };
}

test('commits go beside each other, a switch waits for them, and what comes behind it waits for it', async () => {
  const { gate, begun, settled, end, ...run } = rig();
  const all = [run.commit('a'), run.commit('b'), run.switch('s'), run.commit('c'), run.switch('t'), run.commit('d')];
  await settled();
  assert.deepEqual(begun, ['a', 'b']);
  end('b');
  await settled();
  assert.deepEqual(begun, ['a', 'b'], 'one of two has ended');
  end('a');
  await settled();
  assert.deepEqual(begun, ['a', 'b', 's']);
  assert.equal(gate.turn('default'), 0);
  end('s');
  await settled();
  assert.deepEqual(begun, ['a', 'b', 's', 'c']);
  assert.equal(gate.turn('default'), 1);
  end('c');
  await settled();
  end('t');
  end('d');
  assert.deepEqual(await Promise.all(all), ['a', 'b', 's', 'c', 't', 'd']);
  assert.deepEqual([gate.turn('default'), gate.turn('other')], [2, 0]);
});

test('what fails tells whoever began it and holds up nobody, and a failed switch counts', async () => {
  const { gate, begun, settled, end, fail, ...run } = rig();
  const commit = assert.rejects(run.commit('a'), /a/);
  const first = assert.rejects(run.switch('s'), /s/);
  const last = run.commit('b');
  fail('a');
  await settled();
  fail('s');
  await settled();
  assert.deepEqual(begun, ['a', 's', 'b']);
  end('b');
  assert.equal(await last, 'b');
  await Promise.all([commit, first]);
  assert.equal(gate.turn('default'), 1);
});
