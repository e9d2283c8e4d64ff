import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { BusinessError, Refusal } from './errors.ts';
import { defineFlow, type RetryPolicy } from './flow.ts';
import { type AnyComponent, defineExtensionPoint, implement } from './points.ts';
import { FlowError, runFlow } from './run.ts';
import { moduleOf, testClock, world } from './testing/world.ts';

const number = defineExtensionPoint({
  name: 'number',
  input: z.object({ n: z.number() }),
  output: z.object({ n: z.number() }),
});
const anything = z.unknown();

/** A component that notes its calls under its name. */
function noting(name: string, log: string[], make: (n: number) => number = (n) => n + 1): AnyComponent {
  return implement(
    number,
    name,
    ({ n }) => {
      log.push(`${name} ${n}`);
      return { n: make(n) };
    },
    {
      compensate: ({ n }, output) => {
        log.push(`undo ${name} ${n} ${output === null ? '?' : output.n}`);
      },
    },
  );
}

function failing(name: string, error: Error = new Error('no')): AnyComponent {
  return implement(number, name, () => {
    throw error;
  });
}

async function failure(running: Promise<unknown>): Promise<FlowError> {
  try {
    await running;
  } catch (error) {
    assert.ok(error instanceof FlowError, String(error));
    return error;
  }
  assert.fail('the flow went well');
}

describe('the order of a flow', () => {
  test('steps run one after another, each with the results of those before', async () => {
    const log: string[] = [];
    const flow = defineFlow({
      name: 'sum',
      input: z.object({ from: z.number() }),
      output: z.object({ sum: z.number() }),
      steps: (steps) =>
        steps
          .step('first', number, { component: noting('a', log), input: ({ request }) => ({ n: request.from }) })
          .step('second', number, { component: noting('b', log, (n) => n * 10), input: ({ done }) => done.first }),
      result: ({ done }) => ({ sum: done.first.n + done.second.n }),
    });
    const { output, steps } = await runFlow(flow, { from: 1 }, world());
    assert.deepEqual(output, { sum: 22 });
    assert.deepEqual(log, ['a 1', 'b 2']);
    assert.deepEqual(
      steps.map(({ name, component, state, attempts }) => ({ name, component, state, attempts })),
      [
        { name: 'first', component: 'a', state: 'done', attempts: 1 },
        { name: 'second', component: 'b', state: 'done', attempts: 1 },
      ],
    );
  });

  test('a step whose condition does not hold is left out, and its result is missing', async () => {
    const log: string[] = [];
    const flow = defineFlow({
      name: 'maybe',
      input: z.object({ deep: z.boolean() }),
      output: z.array(z.number()),
      steps: (steps) =>
        steps.step('one', number, { component: noting('a', log), input: () => ({ n: 1 }) }).step('two', number, {
          component: noting('b', log),
          when: ({ request }) => request.deep,
          input: ({ done }) => done.one,
        }),
      result: ({ done }) => [done.one.n, done.two?.n ?? -1],
    });
    assert.deepEqual((await runFlow(flow, { deep: true }, world())).output, [2, 3]);
    const { output, steps } = await runFlow(flow, { deep: false }, world());
    assert.deepEqual(output, [2, -1]);
    assert.equal(steps[1]?.state, 'skipped');
  });

  test('parts of a parallel run at the same time, and the step after them waits for all', async () => {
    const log: string[] = [];
    const both = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
    const meets = (name: string, own: 0 | 1) =>
      implement(number, name, async ({ n }) => {
        both[own].resolve();
        // Comes back only when the other one runs as well.
        await both[own === 0 ? 1 : 0].promise;
        log.push(name);
        return { n };
      });
    const flow = defineFlow({
      name: 'beside',
      input: anything,
      output: z.number(),
      steps: (steps) =>
        steps
          .parallel((parts) =>
            parts
              .step('left', number, { component: meets('left', 0), input: () => ({ n: 1 }) })
              .step('right', number, { component: meets('right', 1), input: () => ({ n: 2 }) }),
          )
          .step('after', number, {
            component: noting('after', log),
            input: ({ done }) => ({ n: done.left.n + done.right.n }),
          }),
      result: ({ done }) => done.after.n,
    });
    assert.equal((await runFlow(flow, null, world())).output, 4);
    assert.equal(log.at(-1), 'after 3');
  });
});

describe('a failing step', () => {
  const flowOf = (component: AnyComponent, retry: RetryPolicy, timeoutMs = 10_000) =>
    defineFlow({
      name: 'risky',
      input: anything,
      output: z.number(),
      steps: (steps) => steps.step('risk', number, { component, retry, timeoutMs, input: () => ({ n: 1 }) }),
      result: ({ done }) => done.risk.n,
    });

  test('is called again after pauses that grow, until it goes well', async () => {
    const keys = new Set<string>();
    const flaky = implement(number, 'flaky', ({ n }, { attempt, key }) => {
      keys.add(key);
      if (attempt < 4) throw new Error(`attempt ${attempt}`);
      return { n };
    });
    const around = world();
    const retry = { attempts: 5, backoffMs: 100, factor: 3, maxBackoffMs: 500 };
    const { steps } = await runFlow(flowOf(flaky, retry), null, around);
    assert.equal(steps[0]?.attempts, 4);
    assert.deepEqual(
      around.clock.slept.filter((ms) => ms < 10_000),
      [100, 300, 500],
    );
    assert.deepEqual([...keys], ['run-1/risky/risk']);
  });

  test('fails the flow when its attempts are used up, with flow, step and component in the message', async () => {
    const error = await failure(runFlow(flowOf(failing('down'), { attempts: 3 }), null, world()));
    assert.equal(error.code, 'COMPONENT_FAILED');
    assert.equal(error.message, 'flow risky, step risk, component down: no');
    assert.equal(error.steps[0]?.attempts, 3);
  });

  test('that refuses is not asked again', async () => {
    const refusing = failing('refusing', new Refusal('not in this country'));
    const error = await failure(runFlow(flowOf(refusing, { attempts: 3 }), null, world()));
    assert.equal(error.steps[0]?.attempts, 1);
    assert.match(error.message, /not in this country/);
  });

  test('that takes too long is aborted, and its outcome counts as unknown', async () => {
    const log: string[] = [];
    const aborted = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const slow = implement(
      number,
      'slow',
      (_input, { signal }) => {
        begun.resolve();
        return new Promise<{ n: number }>(() => signal.addEventListener('abort', () => aborted.resolve()));
      },
      { compensate: (_input, output) => void log.push(`undo ${output === null ? 'unknown' : 'known'}`) },
    );
    const lasting = testClock(() => true);
    let sleeps = 0;
    const clock = {
      ...lasting,
      // Its time is up once it runs; that of its compensation never is.
      sleep: (ms: number, signal: AbortSignal) =>
        ++sleeps === 1 ? begun.promise.then(() => true) : lasting.sleep(ms, signal),
    };
    const error = await failure(runFlow(flowOf(slow, { attempts: 1 }, 50), null, world({}, { clock })));
    await aborted.promise;
    assert.equal(error.code, 'TIMEOUT');
    assert.match(error.message, /step risk.*no result within 50 ms/);
    assert.deepEqual(log, ['undo unknown']);
    assert.equal(error.steps[0]?.state, 'compensated');
  });

  test('that is optional costs its result alone', async () => {
    const around = world();
    const flow = defineFlow({
      name: 'tolerant',
      input: anything,
      output: z.string(),
      steps: (steps) =>
        steps.step('extra', number, { component: failing('down'), optional: true, input: () => ({ n: 1 }) }),
      result: ({ done }) => (done.extra === undefined ? 'without' : 'with'),
    });
    const { output, steps } = await runFlow(flow, null, around);
    assert.equal(output, 'without');
    assert.equal(steps[0]?.state, 'tolerated');
    assert.match(around.lines.join(), /step extra, component down: no/);
  });
});

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

describe('spans', () => {
  test('there is one for the flow and under it one for each step and each compensation', async () => {
    const around = world();
    const flow = defineFlow({
      name: 'seen',
      input: anything,
      output: anything,
      steps: (steps) =>
        steps
          .step('one', number, { component: noting('a', []), input: () => ({ n: 1 }) })
          .step('two', number, { component: failing('b'), retry: { attempts: 2 }, input: ({ done }) => done.one }),
      result: () => null,
    });
    await failure(runFlow(flow, null, { ...around, business: 'shop', template: 'usual' }));
    assert.deepEqual(
      around.spans.map(({ name, parent, error }) => [name, parent, error !== null]),
      [
        ['step one', 1, false],
        ['step two', 1, true],
        ['compensate one', 1, false],
        ['flow seen', null, true],
      ],
    );
    assert.deepEqual(around.spans[1]?.attributes, {
      'hearth.step': 'two',
      'hearth.point': 'number',
      'hearth.component': 'b',
      'hearth.step.attempts': 2,
      'error.type': 'COMPONENT_FAILED',
    });
    assert.deepEqual(around.spans[3]?.attributes, {
      'hearth.flow': 'seen',
      'hearth.business': 'shop',
      'hearth.template': 'usual',
    });
  });
});
