import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextRun } from '../../../functions/contract/cron.ts';
import type { CronRecord } from '../../store/api/crons.ts';
import {
  type CronProgress,
  cronId,
  IN_TIME_MS,
  MOST_CATCH_UP,
  nextStep,
  retryDelayMs,
  sleepMs,
  wantedCrons,
} from './plan.ts';

const MINUTE = 60_000;
const NOON = Date.UTC(2026, 0, 1, 12);
const everyMinute = (after: number) => nextRun('* * * * *', 'UTC', after);
const IDLE: CronProgress = { running: 0, held: false, caughtUp: 0 };

function cron(changes: Partial<CronRecord> = {}): CronRecord {
  return {
    id: 'report.1',
    functionName: 'report',
    expression: '* * * * *',
    timezone: 'UTC',
    missed: 'once',
    overlap: 'skip',
    paused: false,
    nextAt: NOON,
    running: 0,
    firedUntil: 0,
    last: null,
    ...changes,
  };
}

test('a cron waits until it is due, then runs and moves on', () => {
  assert.deepEqual(nextStep(cron(), IDLE, NOON - 1, everyMinute), { do: 'wait', until: NOON });
  assert.deepEqual(nextStep(cron(), IDLE, NOON, everyMinute), { do: 'run', dueAt: NOON, nextAt: NOON + MINUTE });
});

test('a paused cron and one that is never due again wait for ever', () => {
  assert.deepEqual(nextStep(cron({ paused: true }), IDLE, NOON, everyMinute), { do: 'wait', until: null });
  assert.deepEqual(nextStep(cron({ nextAt: null }), IDLE, NOON, everyMinute), { do: 'wait', until: null });
});

test('missed ticks run once, each, or not at all', () => {
  const late = NOON + 10 * MINUTE + 30_000;
  const after = NOON + 11 * MINUTE;
  assert.deepEqual(nextStep(cron({ missed: 'once' }), IDLE, late, everyMinute), {
    do: 'run',
    dueAt: NOON,
    nextAt: after,
  });
  assert.deepEqual(nextStep(cron({ missed: 'all' }), IDLE, late, everyMinute), {
    do: 'run',
    dueAt: NOON,
    nextAt: NOON + MINUTE,
  });
  assert.deepEqual(nextStep(cron({ missed: 'skip' }), IDLE, late, everyMinute), {
    do: 'skip',
    dueAt: NOON,
    nextAt: after,
    why: 'missed',
  });
});

test('a tick that is only a little late was not missed', () => {
  const step = nextStep(cron({ missed: 'skip' }), IDLE, NOON + IN_TIME_MS, everyMinute);
  assert.deepEqual(step, { do: 'run', dueAt: NOON, nextAt: NOON + MINUTE });
});

test('all missed ticks means a hundred at most, the rest is skipped at once', () => {
  const late = NOON + 1000 * MINUTE;
  const progress = { ...IDLE };
  let nextAt: number | null = NOON;
  let runs = 0;
  for (;;) {
    const step = nextStep(cron({ missed: 'all', nextAt }), progress, late, everyMinute);
    if (step.do === 'skip') {
      assert.equal(step.nextAt, late + MINUTE);
      break;
    }
    assert.equal(step.do, 'run');
    if (step.do === 'run') nextAt = step.nextAt;
    progress.caughtUp += 1;
    runs += 1;
  }
  assert.equal(runs, MOST_CATCH_UP);
});

test('while a run has not ended the next tick is skipped, runs beside it, or waits', () => {
  const busy = { ...IDLE, running: 1 };
  assert.deepEqual(nextStep(cron({ overlap: 'skip' }), busy, NOON, everyMinute), {
    do: 'skip',
    dueAt: NOON,
    nextAt: NOON + MINUTE,
    why: 'the run before had not ended',
  });
  assert.equal(nextStep(cron({ overlap: 'allow' }), busy, NOON, everyMinute).do, 'run');
  assert.equal(nextStep(cron({ overlap: 'queue' }), busy, NOON, everyMinute).do, 'hold');
});

test('ticks that waited for a run are each run after it, whatever is said of missed ones', () => {
  const held = { ...IDLE, held: true };
  const step = nextStep(cron({ overlap: 'queue', missed: 'skip' }), held, NOON + 3 * MINUTE, everyMinute);
  assert.deepEqual(step, { do: 'run', dueAt: NOON, nextAt: NOON + MINUTE });
});

test('missed ticks that are made up for run one after another, not over each other', () => {
  const busy = { ...IDLE, running: 1, caughtUp: 1 };
  assert.equal(nextStep(cron({ missed: 'all', overlap: 'skip' }), busy, NOON + 5 * MINUTE, everyMinute).do, 'hold');
  assert.equal(nextStep(cron({ missed: 'all', overlap: 'allow' }), busy, NOON + 5 * MINUTE, everyMinute).do, 'run');
});

test('the sleep is never longer than a minute, so that a clock that was set is noticed', () => {
  assert.equal(sleepMs(NOON + 10, NOON), 10);
  assert.equal(sleepMs(NOON - 10, NOON), 0);
  assert.equal(sleepMs(NOON + 3_600_000, NOON), 60_000);
  assert.equal(sleepMs(null, NOON), 60_000);
});

test('an id is stable, fit for a URL, and differs by function and expression', () => {
  const id = cronId('report', '*/5 * * * *');
  assert.equal(id, cronId('report', '*/5 * * * *'));
  assert.equal(encodeURIComponent(id), id);
  assert.notEqual(id, cronId('report', '*/6 * * * *'));
  assert.notEqual(id, cronId('reports', '*/5 * * * *'));
});

test('crons are wanted as the manifest has them, with a due time each', () => {
  const written = [{ cron: '0 9 * * 2', expression: '0 9 * * 1' }];
  const settings = { timezone: 'UTC', missed: 'all', overlap: 'queue' } as const;
  const id = cronId('report', '0 9 * * 2');
  const asked: unknown[] = [];
  const wanted = wantedCrons('report', settings, written, (...about) => {
    asked.push(about);
    return 42;
  });
  assert.deepEqual(wanted, [{ id, functionName: 'report', expression: '0 9 * * 1', ...settings, nextAt: 42 }]);
  assert.deepEqual(asked, [[id, '0 9 * * 1', 'UTC']]);
});

test('a run that did not reach its function is tried three times more', () => {
  assert.deepEqual([1, 2, 3, 4].map(retryDelayMs), [1_000, 5_000, 25_000, null]);
});
