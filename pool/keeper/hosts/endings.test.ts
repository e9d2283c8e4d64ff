import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import type { Base } from './base.ts';
import { Endings } from './endings.ts';

describe('endings of retired threads', () => {
  let now = 0;
  let quiet = true;
  let ended: string[] = [];
  /** The thread that is ending: call it when it is gone. */
  let gone: (() => void)[] = [];
  let due: { at: number; call: () => void }[] = [];
  let endings: Endings;

  beforeEach(() => {
    now = 0;
    quiet = true;
    ended = [];
    gone = [];
    due = [];
    endings = new Endings({
      quiet: () => quiet,
      now: () => now,
      end: (base) => {
        ended.push(base.id);
        return new Promise((resolve) => gone.push(resolve));
      },
      after: (ms, call) => {
        const entry = { at: now + ms, call };
        due.push(entry);
        return {
          cancel: () => {
            due = due.filter((other) => other !== entry);
          },
        };
      },
    });
  });

  function pass(ms: number): void {
    for (const until = now + ms; now < until; now++) {
      const ready = due.filter(({ at }) => at <= now);
      due = due.filter(({ at }) => at > now);
      for (const { call } of ready) call();
    }
  }

  const base = (id: string, fault: object | null = null, state = 'running') =>
    ({ id, fault, host: { state } }) as unknown as Base;

  it('wait while leases come, and follow one after another when they stop', async () => {
    quiet = false;
    endings.add(base('a'));
    endings.add(base('b'));
    pass(500);
    assert.deepEqual(ended, []);
    quiet = true;
    pass(100);
    assert.deepEqual(ended, ['a']);
    gone.shift()?.();
    await Promise.resolve();
    pass(100);
    assert.deepEqual(ended, ['a', 'b']);
  });

  it('wait a second at most where leases never stop', () => {
    quiet = false;
    endings.add(base('a'));
    pass(990);
    assert.deepEqual(ended, []);
    pass(60);
    assert.deepEqual(ended, ['a']);
  });

  it('do not wait after a fault, nor when the host is gone', () => {
    quiet = false;
    endings.add(base('bad', { kind: 'cpu' }));
    endings.add(base('orphan', null, 'dead'));
    assert.deepEqual(ended, ['bad', 'orphan']);
  });

  it('all happen at once for somebody who waits for the room', () => {
    quiet = false;
    endings.add(base('a'));
    endings.add(base('b'));
    endings.flush();
    assert.deepEqual(ended, ['a', 'b']);
    pass(2000);
    assert.deepEqual(ended, ['a', 'b']);
  });
});
