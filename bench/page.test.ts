import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PageResults, performancePage } from './page.ts';

const NOTHING: PageResults = { warm: null, cold: null, deploy: null, queue: null, release: null };
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
  assert.doesNotMatch(page, /Cold starts|NaN|undefined/);
});

test('what is said of times are percentiles over all rounds', () => {
  const times = { hearth: [Array.from({ length: 100 }, (_, i) => i + 1), [1000]], once: [[3]] };
  const page = performancePage({ ...NOTHING, deploy: { ...WHERE, data: { times } } });
  assert.match(page, /\| hearth \| 51\.0 ms \| 9\d(\.0)? ms|\| hearth \| 51\.0 ms \| 100 ms/);
  assert.match(page, /\| once \| 3\.0 ms \| n\/a \|/);
});
