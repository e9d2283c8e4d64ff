import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SCHEDULE_GAP_MS } from './keep-alive.ts';
import { CRON_LEAD_MS, prewarmAt } from './prewarm.ts';

const DUE = 1_000_000_000;

test('a tick is prepared some seconds ahead, the first one too', () => {
  assert.equal(prewarmAt(DUE, null), DUE - CRON_LEAD_MS);
  assert.equal(prewarmAt(DUE, DUE - 3_600_000), DUE - CRON_LEAD_MS);
});

test('nothing is prepared while the instance of the last run is still kept', () => {
  assert.equal(prewarmAt(DUE, DUE - SCHEDULE_GAP_MS + 1), null);
  assert.equal(prewarmAt(DUE, DUE - SCHEDULE_GAP_MS), DUE - CRON_LEAD_MS);
});
