import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BaseDefinition } from '../definition.ts';
import { LENT_IDLE_MS, leavesLentHost, lentStep, type Need, nextLoan, type Spare } from './lend.ts';

const definition = (name: string): BaseDefinition => ({ name, shared: [], setupPath: null, env: {} });
const DEFAULT = definition('default');
const OTHER = definition('default');

const spare = (id: string, warm: number, more: Partial<Spare> = {}): Spare => ({
  id,
  warm,
  definition: DEFAULT,
  ...more,
});
const need = (pool: string, bases: number, more: Partial<Need> = {}): Need => ({
  pool,
  bases,
  borrowed: 0,
  definition: DEFAULT,
  ...more,
});
const loan = (spares: Spare[], needs: Need[]) => {
  const found = nextLoan(spares, needs);
  return found === null ? null : `${found.host} to ${found.need.pool}`;
};

test('nobody who needs any, or nothing there, lends nothing', () => {
  assert.equal(loan([], [need('batch', 1)]), null);
  assert.equal(loan([spare('a', 2)], []), null);
  assert.equal(loan([spare('a', 2)], [need('batch', 0), need('web', -1)]), null);
  assert.equal(loan([spare('a', 0)], [need('batch', 1)]), null);
});

test('the smallest host that serves all who wait, else the largest there is', () => {
  const spares = [spare('eight', 8), spare('two', 2), spare('four', 4)];
  assert.equal(loan(spares, [need('batch', 1)]), 'two to batch');
  assert.equal(loan(spares, [need('batch', 3)]), 'four to batch');
  assert.equal(loan(spares, [need('batch', 20)]), 'eight to batch');
});

test('who has borrowed least comes first, of equals where most wait', () => {
  const spares = [spare('a', 1)];
  assert.equal(loan(spares, [need('batch', 9, { borrowed: 2 }), need('web', 1)]), 'a to web');
  assert.equal(loan(spares, [need('batch', 3), need('web', 4)]), 'a to web');
});

test('a host of another definition is of no use, be it only another generation of the same name', () => {
  assert.equal(loan([spare('old', 4, { definition: OTHER })], [need('batch', 1)]), null);
  const spares = [spare('old', 4, { definition: OTHER }), spare('new', 4)];
  assert.equal(loan(spares, [need('batch', 1)]), 'new to batch');
  // Who comes first finds nothing: the next one in turn is served.
  assert.equal(loan([spare('a', 1)], [need('batch', 5, { definition: OTHER }), need('web', 1)]), 'a to web');
});

test('each host is lent once and all who can be served are: lending comes to an end', () => {
  const spares = [spare('a', 2), spare('b', 3), spare('c', 1)];
  const needs = [need('batch', 4), need('web', 2)];
  const lent: string[] = [];
  for (let found = nextLoan(spares, needs); found !== null; found = nextLoan(spares, needs)) {
    const { host, need: served } = found;
    const at = spares.findIndex(({ id }) => id === host);
    const warm = spares[at]?.warm ?? 0;
    spares.splice(at, 1);
    served.bases -= warm;
    served.borrowed += warm;
    lent.push(`${host} to ${served.pool}`);
  }
  assert.deepEqual(lent, ['b to batch', 'a to web', 'c to batch']);
});

test('a lent host goes back when nothing is held in it for a while: as it is, or as a new process once it was bound', () => {
  const idle = { bound: false, leased: 0, idleMs: LENT_IDLE_MS };
  assert.equal(lentStep(idle), 'return');
  assert.equal(lentStep({ ...idle, bound: true }), 'end');
  assert.equal(lentStep({ ...idle, leased: 1 }), 'keep');
  assert.equal(lentStep({ ...idle, bound: true, leased: 1 }), 'keep');
  assert.equal(lentStep({ ...idle, idleMs: LENT_IDLE_MS - 1 }), 'keep');
});

test('an idle instance leaves a lent host, but one that is needed only where its pool has room for it', () => {
  const idle = { busy: false, idleMs: LENT_IDLE_MS, needed: false, room: false };
  assert.equal(leavesLentHost(idle), true);
  assert.equal(leavesLentHost({ ...idle, busy: true }), false);
  assert.equal(leavesLentHost({ ...idle, idleMs: LENT_IDLE_MS - 1 }), false);
  assert.equal(leavesLentHost({ ...idle, needed: true }), false);
  assert.equal(leavesLentHost({ ...idle, needed: true, room: true }), true);
});
