import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as conventions from '@opentelemetry/semantic-conventions/incubating';
import { ATTR, FAAS_TRIGGER, HEARTH_ATTR, METRIC } from './names.ts';

const conventional = new Set<unknown>(Object.values(conventions));

/** Names that the public contract fixes, and what the installed conventions call them now. */
const HELD = new Map([
  ['faas.invocation_id', 'faas.invocation.id'],
  ['faas.time', 'faas.invocation.start_time'],
]);

test('every attribute that is not of Hearth is in the installed conventions, but for the two that are held', () => {
  const unknown = Object.values(ATTR).filter((name) => !conventional.has(name));
  assert.deepEqual(unknown, [...HELD.keys()]);
  for (const now of HELD.values()) assert.ok(conventional.has(now), now);
});

test('every metric of the faas namespace is in the installed conventions', () => {
  const faas = Object.values(METRIC).filter((metric) => metric.name.startsWith('faas.'));
  assert.equal(faas.length, 8);
  for (const { name } of faas) assert.ok(conventional.has(name), name);
});

test('everything else carries the name of Hearth', () => {
  const own = [...Object.values(HEARTH_ATTR), ...Object.values(METRIC).map((metric) => metric.name)];
  for (const name of own) assert.match(name, /^(hearth|faas)\./);
  assert.equal(new Set(own).size, own.length);
});

test('triggers are values the conventions list', () => {
  const values = new Set<string>([
    conventions.FAAS_TRIGGER_VALUE_HTTP,
    conventions.FAAS_TRIGGER_VALUE_TIMER,
    conventions.FAAS_TRIGGER_VALUE_PUBSUB,
    conventions.FAAS_TRIGGER_VALUE_OTHER,
  ]);
  for (const trigger of Object.values(FAAS_TRIGGER)) assert.ok(values.has(trigger), trigger);
});
