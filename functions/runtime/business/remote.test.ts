import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { BusinessError } from './errors.ts';
import { defineFlow } from './flow.ts';
import { implement } from './points.ts';
import { runFlow } from './run.ts';
import { anything, failing, failure, noting, number } from './testing/numbers.ts';
import { moduleOf, world } from './testing/world.ts';

describe('components in other modules', () => {
  const flowFrom = (component: string, from: string) =>
    defineFlow({
      name: 'far',
      input: anything,
      output: z.number(),
      steps: (steps) =>
        steps
          .step('near', number, { component: noting('near', []), input: () => ({ n: 1 }) })
          .step('far', number, { component, from, input: ({ done }) => done.near }),
      result: ({ done }) => done.far.n,
    });

  test('are called over their binding, and undone over it', async () => {
    const log: string[] = [];
    const env = { NUMBERS: moduleOf(noting('add', log)) };
    assert.equal((await runFlow(flowFrom('add', 'NUMBERS'), null, world(env))).output, 3);
    const flow = defineFlow({
      name: 'far',
      input: anything,
      output: anything,
      steps: (steps) =>
        steps
          .step('one', number, { component: 'add', from: 'NUMBERS', input: () => ({ n: 7 }) })
          .step('two', number, { component: failing('no'), input: ({ done }) => done.one }),
      result: () => null,
    });
    const error = await failure(runFlow(flow, null, world(env)));
    assert.deepEqual(log, ['add 2', 'add 7', 'undo add 7 8']);
    assert.equal(error.steps[0]?.state, 'compensated');
  });

  test('that are not there are told with what is', async () => {
    const env = { NUMBERS: moduleOf(noting('add', [])), NOT: 'a string' };
    const missing = await failure(runFlow(flowFrom('divide', 'NUMBERS'), null, world(env)));
    assert.equal(missing.code, 'NO_COMPONENT');
    assert.match(missing.message, /step far, component divide: .*this module has \/number\/add/);
    const unbound = await failure(runFlow(flowFrom('add', 'NOT'), null, world(env)));
    assert.equal(unbound.code, 'NO_COMPONENT');
    assert.match(unbound.message, /env\.NOT is no service binding/);
  });

  test('whose module breaks off may have done their work: they are asked to undo it', async () => {
    const asked: string[] = [];
    const dying = {
      fetch: (url: string | URL | Request) => {
        asked.push(new URL(String(url)).pathname);
        return asked.length === 1
          ? Promise.reject(Object.assign(new Error('The base died.'), { code: 'FUNCTION_CRASHED' }))
          : Promise.resolve(Response.json({ compensated: true }));
      },
    };
    const error = await failure(runFlow(flowFrom('add', 'NUMBERS'), null, world({ NUMBERS: dying })));
    assert.equal(error.code, 'COMPONENT_FAILED');
    assert.deepEqual(asked, ['/number/add', '/number/add/compensate']);
    assert.equal(error.steps[1]?.state, 'compensated');
  });

  test('that refuse a field say which', async () => {
    const picky = implement(number, 'picky', () => {
      throw new BusinessError('INVALID_INPUT', 'input.n: is taken', {
        issues: [{ field: 'input.n', message: 'is taken' }],
      });
    });
    const env = { NUMBERS: moduleOf(picky) };
    const error = await failure(runFlow(flowFrom('picky', 'NUMBERS'), null, world(env)));
    assert.equal(error.code, 'INVALID_INPUT');
    assert.deepEqual(error.issues, [{ field: 'input.n', message: 'is taken' }]);
  });
});
