import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import type { BusinessError } from './errors.ts';
import { defineFlow } from './flow.ts';
import type { AnyComponent } from './points.ts';
import { FlowError, runFlow } from './run.ts';
import { anything, failure, noting, number } from './testing/numbers.ts';
import { world } from './testing/world.ts';

describe('what is validated', () => {
  test('the request of a flow, before anything runs', async () => {
    const log: string[] = [];
    const flow = defineFlow({
      name: 'strict',
      input: z.object({ to: z.object({ email: z.email() }) }),
      output: anything,
      steps: (steps) => steps.step('one', number, { component: noting('a', log), input: () => ({ n: 1 }) }),
      result: () => null,
    });
    await assert.rejects(runFlow(flow, { to: { email: 'nobody' } }, world()), (error: BusinessError) => {
      assert.ok(!(error instanceof FlowError));
      assert.equal(error.code, 'INVALID_INPUT');
      assert.deepEqual(
        error.issues.map(({ field }) => field),
        ['request.to.email'],
      );
      assert.match(error.message, /^flow strict: request\.to\.email: /);
      return true;
    });
    assert.deepEqual(log, []);
  });

  const bad = async (component: AnyComponent, input: unknown) => {
    const flow = defineFlow({
      name: 'strict',
      input: anything,
      output: anything,
      steps: (steps) =>
        steps.step('one', number, { component, retry: { attempts: 5 }, input: () => input as { n: number } }),
      result: () => null,
    });
    return await failure(runFlow(flow, null, world()));
  };

  test('the input of a step: step and field are named, and nothing is tried again', async () => {
    const error = await bad(noting('a', []), { n: 'one' });
    assert.equal(error.code, 'INVALID_INPUT');
    assert.match(error.message, /^flow strict, step one, component a: input\.n: /);
    assert.equal(error.steps[0]?.attempts, 1);
  });

  test('the output of a step, and what such a step did is undone', async () => {
    const log: string[] = [];
    const error = await bad(
      noting('a', log, () => 'many' as unknown as number),
      { n: 1 },
    );
    assert.equal(error.code, 'INVALID_OUTPUT');
    assert.match(error.message, /^flow strict, step one, component a: output\.n: /);
    assert.deepEqual(log, ['a 1', 'undo a 1 ?']);
  });

  test('the result of the flow, after which all is undone', async () => {
    const log: string[] = [];
    const flow = defineFlow({
      name: 'strict',
      input: anything,
      output: z.object({ total: z.number().max(1) }),
      steps: (steps) => steps.step('one', number, { component: noting('a', log), input: () => ({ n: 1 }) }),
      result: ({ done }) => ({ total: done.one.n }),
    });
    const error = await failure(runFlow(flow, null, world()));
    assert.match(error.message, /^flow strict: output\.total: /);
    assert.deepEqual(log, ['a 1', 'undo a 1 2']);
  });

  test("a function of the flow's own that throws is told as such", async () => {
    const flow = defineFlow({
      name: 'broken',
      input: anything,
      output: anything,
      steps: (steps) =>
        steps.step('one', number, {
          component: noting('a', []),
          input: () => {
            throw new RangeError('oops');
          },
        }),
      result: () => null,
    });
    const error = await failure(runFlow(flow, null, world()));
    assert.equal(error.code, 'FLOW_BROKEN');
    assert.match(error.message, /step one, component a: input threw RangeError: oops/);
  });
});
