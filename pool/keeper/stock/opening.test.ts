import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Opening } from './opening.ts';

/** Whether it is open once all that was promised already has been told. */
async function isOpen(opening: Opening<string>): Promise<boolean> {
  const closed = new Promise<boolean>((resolve) => setImmediate(() => resolve(false)));
  return Promise.race([opening.open.then(() => true), closed]);
}

test('it opens with the first warm base of the last definition', async () => {
  const opening = new Opening(['a', 'b']);
  opening.warm('a');
  opening.warm('a');
  assert.equal(await isOpen(opening), false);
  opening.warm('b');
  assert.equal(await isOpen(opening), true);
});

test('a definition that does not come up keeps the others closed no longer', async () => {
  const opening = new Opening(['good', 'broken']);
  opening.broken('broken');
  assert.equal(await isOpen(opening), false);
  opening.warm('good');
  assert.equal(await isOpen(opening), true);
});

test('it stays closed while no base comes up at all, and opens with one that does after all', async () => {
  const opening = new Opening(['one', 'two']);
  opening.broken('one');
  opening.broken('two');
  assert.equal(await isOpen(opening), false);
  opening.warm('two');
  assert.equal(await isOpen(opening), true);
});

test('without any stock it is open from the start', async () => {
  assert.equal(await isOpen(new Opening([])), true);
});
