import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PoolEvent } from '../../pool/keeper/api.ts';
import { createTelemetry } from './create-telemetry.ts';
import { createHealth } from './health.ts';
import type { FinishedInvocation } from './telemetry.ts';
import { finished, poolSnapshot, silentLog } from './testing/finished.ts';

const KEYS = ['hello@v1+0'];

function setUp() {
  const health = createHealth();
  const telemetry = createTelemetry({ env: {}, sources: { pool: poolSnapshot }, now: Date.now, log: silentLog() });
  const call = (changes: Partial<FinishedInvocation> = {}) => health.finished(finished(telemetry, changes));
  const fails = (code: 'FUNCTION_EXCEPTION' | 'OVERLOADED', message = 'no') => call({ error: { code, message } });
  return { health, call, fails, of: () => health.of('hello', KEYS) };
}

const event = (changes: Partial<PoolEvent>): PoolEvent => ({
  ...{ time: 7, subject: 'base', id: 'base-1', what: 'killed', why: 'over its limit', function: 'hello' },
  ...changes,
});

test('what was never called serves, as far as anybody knows', () => {
  const { of } = setUp();
  assert.deepEqual(of(), {
    state: 'serving',
    lastSuccessAt: null,
    lastError: null,
    failuresInARow: 0,
    restarts: 0,
    quarantine: null,
  });
});

test('three failures in a row are failing, one success is serving again, and the last error stays known', () => {
  const { call, fails, of } = setUp();
  for (let n = 0; n < 2; n++) fails('FUNCTION_EXCEPTION');
  assert.equal(of().state, 'serving');
  fails('FUNCTION_EXCEPTION', 'x'.repeat(9_999));
  const { state, lastError, failuresInARow } = of();
  assert.deepEqual([state, failuresInARow, lastError?.message.length], ['failing', 3, 500]);
  assert.deepEqual(
    [lastError?.code, lastError?.invocationId, lastError?.version, lastError?.at],
    ['FUNCTION_EXCEPTION', 'inv-1', 'v1', 1_800_000_000_007],
  );
  call();
  assert.deepEqual([of().state, of().failuresInARow, of().lastSuccessAt], ['serving', 0, 1_800_000_000_007]);
  assert.equal(of().lastError?.code, 'FUNCTION_EXCEPTION');
});

test('an answer of 500 and above is a failure too; a full function, a 404 and a probe say nothing of it', () => {
  const { call, fails, of } = setUp();
  const answers = (status: number) => call({ http: { method: 'GET', path: '/', status, host: 'x' } });
  for (const status of [500, 503, 599]) answers(status);
  assert.deepEqual([of().state, of().lastError?.code], ['failing', '599']);
  for (let n = 0; n < 5; n++) fails('OVERLOADED');
  call({ probe: true });
  assert.equal(of().failuresInARow, 3);
  answers(404);
  assert.equal(of().state, 'serving');
});

test('a base that is lost under it counts, one that is retired does not, and quarantine goes by its key', () => {
  const { health, of } = setUp();
  health.event(event({ lost: true }));
  health.event(event({ lost: true, what: 'retired', why: 'its host died' }));
  health.event(event({ what: 'retired', why: 'idle for 60 s' }));
  health.event(event({ lost: true, function: 'other' }));
  assert.equal(of().restarts, 2);
  health.event(event({ subject: 'function', id: 'hello@v2+0', what: 'quarantined' }));
  assert.equal(of().state, 'serving', 'another version of it');
  health.event(event({ subject: 'function', id: 'hello@v1+0', what: 'quarantined' }));
  assert.deepEqual([of().state, of().quarantine], ['quarantined', { since: 7, why: 'over its limit' }]);
  assert.deepEqual(
    [...health.all(() => KEYS)].map(([name, { state }]) => [name, state]),
    [
      ['hello', 'quarantined'],
      ['other', 'quarantined'],
    ],
  );
  health.event(event({ subject: 'function', id: 'hello@v1+0', what: 'lifted' }));
  assert.equal(of().state, 'serving');
  health.forget('hello');
  assert.equal(of().restarts, 0);
});
