import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { filled, PLACES, type Results, tableOf } from './tables.ts';

const WHERE = {
  date: '2026-11-20T13:58:39.446Z',
  commit: 'abc',
  machine: { cpu: 'X', cores: 2, memoryGb: 4, system: 'linux' },
  versions: { node: 'v26' },
};
const MB = 1024 ** 2;
const NOTHING: Results = {
  ...{ warm: null, cold: null, deploy: null, queue: null, release: null },
  ...{ edit: null, density: null, rpc: null, pools: null },
};
const group = (each: number) => ({
  sourceBytes: 2048,
  points: [1, 250, 500].map((modules) => ({ modules, pssBytes: (40 + each * modules) * MB })),
  replacements: {
    count: 500,
    before: { pssBytes: 90 * MB, rssBytes: 140 * MB },
    after: { pssBytes: 91 * MB, rssBytes: 142 * MB },
  },
});
const MEASURED: Results = {
  ...NOTHING,
  edit: { data: { times: { 'a small project': Array.from({ length: 200 }, (_, n) => 20 + n / 10) } } },
  density: {
    ...WHERE,
    data: {
      found: { 'bases of one host': [4, 8, 16].map((bases) => ({ bases, pssBytes: (90 + 11 * bases) * MB })) },
      groups: { small: group(0.1), large: group(0.4) },
    },
  },
  release: { ...WHERE, data: { acts: { 'rollback → first answer of the version before': { seen: [5, 6, 9] } } } },
};
const TEXTS = Object.keys(PLACES).map((path) => ({
  path,
  text: readFileSync(new URL(`../${path}`, import.meta.url), 'utf8'),
}));

test('each file has a place for each of its tables, and keeps what stands there when nothing was measured', () => {
  for (const { path, text } of TEXTS) {
    assert.equal(filled(path, text, NOTHING), text);
    assert.throws(() => filled(path, '# Hearth', MEASURED), new RegExp(`^Error: ${path} has no place for the table`));
  }
});

test('the edit loop is told by its median and its rare ones', () => {
  assert.equal(tableOf('edit', MEASURED), ' 30 ms for a small project (of 200 saves one in a hundred over 40 ms) ');
});

test('to write the same again changes nothing', () => {
  for (const { path, text } of TEXTS) {
    const once = filled(path, text, MEASURED);
    assert.notEqual(once, text);
    assert.equal(filled(path, once, MEASURED), once);
  }
});

test('a module is told alone and in a group', () => {
  assert.equal(tableOf('module-memory', MEASURED), ' 11 MB with a base of its own, 0.10 MB as one of 500 in a group ');
});

test('the first figures are those that were measured, and no others', () => {
  const table = tableOf('figures', MEASURED) ?? '';
  assert.match(table, /\| a rollback, until callers see it \| 6\.0 ms \|/);
  assert.match(table, /\| from a save to its first answer, a small project \| 29\.9 ms \|/);
  assert.match(table, /\| memory of a module \| 11 MB with a base of its own, 0\.10 MB as one of 500 in a group \|/);
  assert.doesNotMatch(table, /cold start|deploy|NaN|undefined/);
  assert.equal(tableOf('figures', NOTHING), null);
});

test('results of before there were groups say nothing', () => {
  const { density } = structuredClone(MEASURED);
  if (density !== null) delete density.data.groups;
  assert.equal(tableOf('module-memory', { ...NOTHING, density }), null);
});
