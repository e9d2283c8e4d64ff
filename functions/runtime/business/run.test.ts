import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { Refusal } from './errors.ts';
import { defineFlow, type RetryPolicy } from './flow.ts';
import { type AnyComponent, implement } from './points.ts';
import { runFlow } from './run.ts';
import { anything, failing, failure, noting, number } from './testing/numbers.ts';
import { testClock, world } from './testing/world.ts';

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
