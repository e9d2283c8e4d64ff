/** The bounded form; the long one is bench/soak/ticks.ts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { REDIS_MISSING } from '../store/redis/testing/server.ts';
import { ticks } from './testing/ticks.ts';

describe('three gateways on one Redis', { skip: REDIS_MISSING }, () => {
  it('fire each tick of their crons once, while they are killed, stopped past their leases and woken', async () => {
    const { ticks: due, missing, twice } = await ticks({ least: 0, crons: 9 });
    assert.ok(due > 9 * 10, `${due} ticks were looked at`);
    assert.deepEqual({ missing, twice }, { missing: [], twice: [] });
  });
});
