import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRest, REST_AFTER_MS } from './rest.ts';

function openRest() {
  let due: () => void = () => undefined;
  const seen = { bytes: 100, compacted: 0 };
  const timers = {
    after(ms: number, run: () => void) {
      assert.equal(ms, REST_AFTER_MS);
      due = run;
      return () => {
        due = () => undefined;
      };
    },
  };
  const rest = createRest({
    timers,
    bytes: () => seen.bytes,
    compact() {
      seen.compacted++;
      seen.bytes = 100;
    },
  });
  return { rest, seen, pass: () => due() };
}

test('memory is given back after a while without work, the start counting as work', () => {
  const { seen, pass } = openRest();
  assert.equal(seen.compacted, 0);
  pass();
  assert.equal(seen.compacted, 1);
});

test('as long as there is something to do, nothing is collected', () => {
  const { rest, seen, pass } = openRest();
  for (let n = 0; n < 10; n++) {
    rest.touch();
    pass();
  }
  assert.equal(seen.compacted, 0);
});

test('it is not collected again before it has grown by a tenth', () => {
  const { rest, seen, pass } = openRest();
  pass();
  for (const bytes of [100, 109]) {
    seen.bytes = bytes;
    rest.touch();
    pass();
    pass();
  }
  assert.equal(seen.compacted, 1);
  seen.bytes = 120;
  pass();
  assert.equal(seen.compacted, 2);
});

test('nothing is collected after the end', () => {
  const { rest, seen, pass } = openRest();
  rest.end();
  pass();
  assert.equal(seen.compacted, 0);
});
