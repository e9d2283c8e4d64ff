import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModuleSpec } from '../pool/keeper/api.ts';
import { keepActive } from './activation.ts';
import type { FunctionEntry, Left, VersionEntry } from './registry/registry.ts';

/** A registry of one function, whose traffic the test moves. */
function open() {
  const told: string[] = [];
  const changed = new Set<(name: string) => void>();
  const left = new Set<(left: Left) => void>();
  let serving: VersionEntry[] | null = [];
  const version = (name: string, resident = false): VersionEntry =>
    ({
      functionName: 'shop',
      version: name,
      key: `shop@${name}+0`,
      claims: { resident },
      spec: { key: `shop@${name}+0` },
    }) as unknown as VersionEntry;
  const registry = {
    function: () => (serving === null ? undefined : ({ serving } as unknown as FunctionEntry)),
    functions: () => [{ record: { name: 'shop' } } as FunctionEntry],
    onChange(listener: (name: string) => void) {
      changed.add(listener);
      return () => changed.delete(listener);
    },
    onLeave(listener: (one: Left) => void) {
      left.add(listener);
      return () => left.delete(listener);
    },
  };
  const keeper = {
    activate: ({ key }: ModuleSpec) => void told.push(`activate ${key}`),
    deactivate: (key: string) => void told.push(`deactivate ${key}`),
    retire: (key: string, why: string) => {
      told.push(`retire ${key}: ${why}`);
      return why === 'fails' ? Promise.reject(new Error('no')) : Promise.resolve();
    },
  };
  return {
    version,
    told: () => told.splice(0),
    begin: () => keepActive(registry, keeper, { error: (message) => void told.push(message) }),
    serve(...versions: VersionEntry[]) {
      serving = versions;
      for (const listener of changed) listener('shop');
    },
    remove() {
      serving = null;
      for (const listener of changed) listener('shop');
    },
    leave(one: VersionEntry, mayReturn: boolean, why = 'moved') {
      for (const listener of left) listener({ version: one, mayReturn, why });
    },
  };
}

test('of the versions that serve, only those that keep something loaded are activated', () => {
  const { version, told, begin, serve } = open();
  serve(version('a', true), version('b'));
  begin();
  assert.deepEqual(told(), ['activate shop@a+0']);
  serve(version('b'), version('c', true));
  assert.deepEqual(told(), ['activate shop@c+0']);
});

test('what a rollback leads to is deactivated, and activated again when it comes back; the rest is retired', () => {
  const { version, told, begin, serve, leave } = open();
  const [first, second] = [version('a'), version('b')];
  begin();
  serve(second);
  leave(first, true);
  assert.deepEqual(told(), ['deactivate shop@a+0']);
  serve(first);
  leave(second, true);
  serve(first);
  assert.deepEqual(told(), ['activate shop@a+0', 'deactivate shop@b+0']);
  leave(second, false, 'replaced');
  serve(second);
  assert.deepEqual(told(), ['retire shop@b+0: replaced'], 'it begins anew with its first call');
});

test('nothing is remembered of a function that was deleted, and nothing is told after the end', async () => {
  const { version, told, begin, serve, remove, leave } = open();
  const end = begin();
  leave(version('a'), true);
  remove();
  serve(version('a'));
  assert.deepEqual(told(), ['deactivate shop@a+0']);
  leave(version('a'), false, 'fails');
  await Promise.resolve();
  assert.deepEqual(told(), ['retire shop@a+0: fails', 'retiring a version failed']);
  end();
  serve(version('c', true));
  leave(version('c', true), true);
  assert.deepEqual(told(), []);
});
