import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InvokeFacts, ModuleSpec } from '../../pool/keeper/api.ts';
import { Invocations, KeptInvocation } from './invocations.ts';

const spec = { functionName: 'f', version: 'v' } as ModuleSpec;
const facts = (start: 'cold' | 'warm') => ({ start }) as InvokeFacts;

function ended(all: Invocations, id: string, start: 'cold' | 'warm', nowMs: number, state: 'ok' | 'error' = 'ok') {
  const kept = new KeptInvocation(id, spec, 'http', nowMs, 'trace', 'parent', 0);
  all.begun(kept);
  kept.facts = facts(start);
  kept.state = state;
  all.ended(kept, nowMs);
}

test('of the ordinary calls of one busy second some are kept, and all of a quiet one', () => {
  const all = new Invocations(1000);
  for (let n = 0; n < 5000; n++) ended(all, `busy-${n}`, 'warm', 10_000);
  assert.equal(all.recent('f', 10_000).length, 200);
  assert.equal(all.get('busy-4999'), undefined);
  for (let n = 0; n < 100; n++) ended(all, `quiet-${n}`, 'warm', 11_000);
  assert.equal(all.recent('f', 10_000).length, 300);
  assert.equal(all.get('quiet-99')?.state, 'ok');
});

test('cold starts and errors are kept however busy the second is', () => {
  const all = new Invocations(1000);
  for (let n = 0; n < 1000; n++) ended(all, `busy-${n}`, 'warm', 10_000);
  ended(all, 'cold', 'cold', 10_000);
  ended(all, 'failed', 'warm', 10_000, 'error');
  assert.equal(all.get('cold')?.id, 'cold');
  assert.equal(all.get('failed')?.state, 'error');
});

test('the oldest ended ones make room, running ones never do', () => {
  const all = new Invocations(2);
  const running = new KeptInvocation('running', spec, 'http', 0, 'trace', 'parent', 0);
  all.begun(running);
  for (const id of ['a', 'b', 'c']) ended(all, id, 'cold', 0);
  assert.equal(all.get('a'), undefined);
  assert.equal(all.get('c')?.id, 'c');
  assert.equal(all.get('running'), running);
});
