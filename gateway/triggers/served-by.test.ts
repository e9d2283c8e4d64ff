import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FunctionEntry, VersionEntry } from '../registry/registry.ts';
import { servedBy } from './served-by.ts';

const version = (...handlers: string[]) => ({ record: { handlers } }) as unknown as VersionEntry;

function entryOf(active: VersionEntry | undefined, picked: VersionEntry | undefined): FunctionEntry {
  return {
    active,
    pick(ask: unknown) {
      assert.equal(ask, null);
      return picked;
    },
  } as unknown as FunctionEntry;
}

test('a tick or a batch goes by the split', () => {
  const [active, other] = [version('scheduled', 'queue'), version('scheduled')];
  assert.equal(servedBy(entryOf(active, other), 'scheduled'), other);
  assert.equal(servedBy(entryOf(active, active), 'queue'), active);
  assert.equal(servedBy(entryOf(undefined, undefined), 'queue'), undefined);
});

test('a version without the handler is passed over for the one whose manifest asks for the trigger', () => {
  const [active, other] = [version('queue'), version('fetch')];
  assert.equal(servedBy(entryOf(active, other), 'queue'), active);
});
