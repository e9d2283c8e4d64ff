import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { filled, type Results, tableOf } from './tables.ts';

const MB = 1024 ** 2;
const NOTHING: Results = { edit: null, density: null, rpc: null, pools: null };
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
  edit: { data: { times: { 'a small project': Array.from({ length: 200 }, (_, n) => 20 + n / 10) } } },
  density: {
    data: {
      found: { 'bases of one host': [4, 8, 16].map((bases) => ({ bases, pssBytes: (90 + 11 * bases) * MB })) },
      groups: { small: group(0.1), large: group(0.4) },
    },
  },
  pools: { data: { phases: { 'batch idle': { p50Us: 612, p99Us: 3456, errors: 0, requests: 10_000 } } } },
  rpc: {
    data: {
      kinds: { 'plain call': { p50Ns: 4.26, p99Ns: 9 }, 'across bases': { p50Ns: 149_960, p99Ns: null } },
    },
  },
};
const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

test('the README has a place for each table, and keeps what stands there when nothing was measured', () => {
  assert.equal(filled(README, NOTHING), README);
  assert.throws(() => filled('# Hearth', MEASURED), /no place for the table "edit"/);
});

test('the edit loop is told by its median and its rare ones', () => {
  assert.equal(tableOf('edit', MEASURED), ' 30 ms for a small project (of 200 saves one in a hundred over 40 ms) ');
});

test('figures of memory are slopes over the counts; to write the same again changes nothing', () => {
  const once = filled(README, MEASURED);
  assert.match(once, /\| a base of its own, idle \| 11\.0 MB \|/);
  assert.match(
    once,
    /\| a small module in its group's base, 2\.0 KB of source \| 0\.10 MB \| slope; the host of 500 takes 90 MB \|/,
  );
  assert.match(once, /\| that host after 500 replacements of a large one \| 90 MB → 91 MB \| RSS 140 MB → 142 MB \|/);
  assert.match(once, /--> 11 MB with a base of its own, 0\.10 MB as one of 500 in a group <!--/);
  assert.match(once, /\| batch idle \| 0\.61 ms \| 3\.46 ms \| 0 of 10000 \|/);
  assert.equal(filled(once, MEASURED), once);
});

test('calls are in the unit that fits them, and what had too few samples is not quoted', () => {
  assert.match(
    tableOf('calls', MEASURED) ?? '',
    /\| plain call \| 4\.3 ns \| 9\.0 ns \|\n\| across bases \| 150\.0 µs \| n\/a \|/,
  );
});

test('results of before there were groups say nothing', () => {
  const { density } = structuredClone(MEASURED);
  if (density !== null) delete density.data.groups;
  assert.equal(tableOf('memory', { ...NOTHING, density }), null);
  assert.equal(tableOf('module-memory', { ...NOTHING, density }), null);
});
