import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Table } from './table.ts';

class Entry {
  readonly id: number;
  nextInTable: Entry | null = null;
  constructor(id: number) {
    this.id = id;
  }
}

test('a table finds what was added, in whatever bucket, and nothing else', () => {
  const table = new Table<number, Entry>((id) => id % 7);
  const entries = Array.from({ length: 2000 }, (_, id) => new Entry(id));
  for (const entry of entries) table.add(entry);
  assert.equal(table.size, 2000);
  for (const entry of entries) assert.equal(table.get(entry.id), entry);
  assert.equal(table.get(2000), undefined);
  assert.deepEqual(new Set(table.entries()), new Set(entries));
});

test('what was taken out is gone and points to nothing, its neighbours stay', () => {
  const table = new Table<number, Entry>(() => 0);
  const [a, b, c] = [new Entry(1), new Entry(2), new Entry(3)] as const;
  for (const entry of [a, b, c]) table.add(entry);
  assert.equal(table.delete(b), true);
  assert.equal(b.nextInTable, null);
  assert.equal(table.get(2), undefined);
  assert.equal(table.get(1), a);
  assert.equal(table.get(3), c);
  assert.equal(table.delete(b), false);
  assert.equal(table.delete(c), true);
  assert.equal(table.delete(a), true);
  assert.equal(table.size, 0);
});
