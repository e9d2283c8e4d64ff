import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PageResults, performancePage } from './page.ts';

const NOTHING: PageResults = {
  ...{ warm: null, cold: null, deploy: null, queue: null, release: null },
  ...{ density: null, rpc: null, pools: null },
};
const WHERE = {
  date: '2026-11-20T13:58:39.446Z',
  commit: 'abc',
  machine: { cpu: 'X', cores: 2, memoryGb: 4, system: 'linux' },
  versions: { node: 'v26' },
};
const run = (perSecond: number, p50: number) => ({ closed: { perSecond }, open: { latency: { p50, p99: p50 * 10 } } });

test('a page has a section for each suite that was measured, and says where', () => {
  const warm = {
    ...WHERE,
    data: { rounds: { hearth: [run(100, 500), run(300, 700), run(200, 600)], hono: [run(400, 100)] } },
  };
  const page = performancePage({ ...NOTHING, warm });
  assert.match(page, /^# Performance\n/);
  assert.match(page, /\n## Warm calls\n/);
  assert.match(page, /\| hearth \| 200 \| [^|]+ \| 0\.60? ms \| 6(\.00?)? ms \|/);
  assert.match(page, /_X, 2 cores, 4 GB, linux; Node v26; 2026-11-20, commit abc\._/);
  assert.doesNotMatch(page, /## (Cold|Memory|A full)|NaN|undefined/);
  assert.match(page, /\n## Run it\n/);
});

test('what is said of times are percentiles over all rounds', () => {
  const times = { hearth: [Array.from({ length: 100 }, (_, i) => i + 1), [1000]], once: [[3]] };
  const page = performancePage({ ...NOTHING, deploy: { ...WHERE, data: { times } } });
  assert.match(page, /\| hearth \| 51\.0 ms \| 9\d(\.0)? ms|\| hearth \| 51\.0 ms \| 100 ms/);
  assert.match(page, /\| once \| 3\.0 ms \| n\/a \|/);
});

test('memory is slopes over the counts, and not told before there were groups', () => {
  const MB = 1024 ** 2;
  const group = (each: number) => ({
    sourceBytes: 2048,
    points: [1, 250, 500].map((modules) => ({ modules, pssBytes: (40 + each * modules) * MB })),
    replacements: {
      count: 500,
      before: { pssBytes: 90 * MB, rssBytes: 140 * MB },
      after: { pssBytes: 91 * MB, rssBytes: 142 * MB },
    },
  });
  const found = { 'bases of one host': [4, 8, 16].map((bases) => ({ bases, pssBytes: (90 + 11 * bases) * MB })) };
  const groups = { small: group(0.1), large: group(0.4) };
  const page = performancePage({ ...NOTHING, density: { ...WHERE, data: { found, groups } } });
  assert.match(page, /\| a base of its own, idle \| 11\.0 MB \|/);
  assert.match(
    page,
    /\| a small module in its group's base, 2\.0 KB of source \| 0\.10 MB \| slope; the host of 500 takes 90 MB \|/,
  );
  assert.match(page, /\| that host after 500 replacements of a large one \| 90 MB → 91 MB \| RSS 140 MB → 142 MB \|/);
  assert.doesNotMatch(performancePage({ ...NOTHING, density: { ...WHERE, data: { found } } }), /## Memory/);
});

test('calls are in the unit that fits them, and what had too few samples is not quoted', () => {
  const kinds = { 'plain call': { p50Ns: 4.26, p99Ns: 9 }, 'across bases': { p50Ns: 149_960, p99Ns: null } };
  const phases = { 'batch idle': { p50Us: 612, p99Us: 3456, errors: 0, requests: 10_000 } };
  const page = performancePage({
    ...NOTHING,
    rpc: { ...WHERE, data: { kinds } },
    pools: { ...WHERE, data: { phases } },
  });
  assert.match(page, /\| plain call \| 4\.3 ns \| 9\.0 ns \|\n\| across bases \| 150\.0 µs \| n\/a \|/);
  assert.match(page, /\| batch idle \| 0\.61 ms \| 3\.46 ms \| 0 of 10000 \|/);
});
