import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { defineFlow } from './flow.ts';
import { implement } from './points.ts';
import { runFlow } from './run.ts';
import { anything, failing, failure, noting, number } from './testing/numbers.ts';
import { world } from './testing/world.ts';

describe('compensation', () => {
  test('undoes what was done, the last first, with what each was given and made', async () => {
    const log: string[] = [];
    const flow = defineFlow({
      name: 'saga',
      input: anything,
      output: z.number(),
      steps: (steps) =>
        steps
          .step('one', number, { component: noting('a', log), input: () => ({ n: 1 }) })
          .step('two', number, { component: noting('b', log), input: ({ done }) => done.one })
          .step('three', number, { component: failing('c'), input: ({ done }) => done.two })
          .step('never', number, { component: noting('d', log), input: ({ done }) => done.three }),
      result: ({ done }) => done.never.n,
    });
    const error = await failure(runFlow(flow, null, world()));
    assert.deepEqual(log, ['a 1', 'b 2', 'undo b 2 3', 'undo a 1 2']);
    assert.deepEqual(
      error.steps.map(({ name, state }) => [name, state]),
      [
        ['one', 'compensated'],
        ['two', 'compensated'],
        ['three', 'failed'],
      ],
    );
  });

  test('of one that fails is tried again, then told, and the others go on', async () => {
    const log: string[] = [];
    let tries = 0;
    const stubborn = implement(number, 'stubborn', (input) => input, {
      compensate: () => {
        tries++;
        throw new Error('cannot undo');
      },
    });
    const around = world();
    const flow = defineFlow({
      name: 'saga',
      input: anything,
      output: anything,
      steps: (steps) =>
        steps
          .step('one', number, { component: noting('a', log), input: () => ({ n: 1 }) })
          .step('two', number, { component: stubborn, input: ({ done }) => done.one })
          .step('three', number, { component: failing('c'), input: ({ done }) => done.two }),
      result: () => null,
    });
    const error = await failure(runFlow(flow, null, around));
    assert.equal(tries, 3);
    assert.deepEqual(log, ['a 1', 'undo a 1 2']);
    assert.equal(error.steps[1]?.state, 'compensation-failed');
    assert.match(around.lines.join(), /step two.*cannot undo.*still there/);
  });

  test('takes in the parts beside the one that failed: what ran is aborted, and undone', async () => {
    const log: string[] = [];
    const begun = Promise.withResolvers<void>();
    const waiting = implement(
      number,
      'waiting',
      (_input, { signal }) => {
        begun.resolve();
        return new Promise<{ n: number }>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      },
      { compensate: (_input, output) => void log.push(`undo waiting ${output === null ? '?' : ''}`) },
    );
    const late = implement(number, 'late', async () => {
      await begun.promise;
      throw new Error('beside');
    });
    const flow = defineFlow({
      name: 'saga',
      input: anything,
      output: anything,
      steps: (steps) =>
        steps.parallel((parts) =>
          parts
            .step('left', number, { component: waiting, input: () => ({ n: 1 }) })
            .step('right', number, { component: late, input: () => ({ n: 1 }) }),
        ),
      result: () => null,
    });
    const error = await failure(runFlow(flow, null, world()));
    assert.match(error.message, /step right.*beside/);
    assert.deepEqual(log, ['undo waiting ?']);
  });

  test('runs also when the caller has gone', async () => {
    const log: string[] = [];
    const caller = new AbortController();
    const leaves = implement(number, 'leaves', (_input, { signal }) => {
      caller.abort(new Error('the client went away'));
      assert.ok(signal.aborted);
      return new Promise<{ n: number }>(() => undefined);
    });
    const flow = defineFlow({
      name: 'saga',
      input: anything,
      output: anything,
      steps: (steps) =>
        steps
          .step('one', number, { component: noting('a', log), input: () => ({ n: 1 }) })
          .step('two', number, { component: leaves, input: ({ done }) => done.one }),
      result: () => null,
    });
    const error = await failure(runFlow(flow, null, world({}, { signal: caller.signal })));
    assert.equal(error.code, 'ABORTED');
    assert.deepEqual(log, ['a 1', 'undo a 1 2']);
  });
});
