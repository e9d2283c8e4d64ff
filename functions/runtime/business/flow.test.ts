import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { pauseBefore } from './attempts.ts';
import { realClock } from './clock.ts';
import { defineFlow, type StepOptions } from './flow.ts';
import { defineExtensionPoint, implement } from './points.ts';

const point = defineExtensionPoint({ name: 'text', input: z.string(), output: z.string() });
const component = implement(point, 'echo', (text) => text);

function flowWith(options: Partial<StepOptions<never, typeof point>>, name = 'one') {
  return defineFlow({
    name: 'flow',
    input: z.unknown(),
    output: z.unknown(),
    steps: (steps) => steps.step(name, point, { component, input: () => '', ...options } as never),
    result: () => null,
  });
}

test('what could not run is refused where it is written', () => {
  const refused: [() => unknown, RegExp][] = [
    [() => defineExtensionPoint({ name: 'Text', input: z.string(), output: z.string() }), /Extension point "Text"/],
    [() => implement(point, 'a/b', (text) => text), /Component "a\/b"/],
    [() => flowWith({}, 'Step one'), /Step "Step one"/],
    [() => flowWith({ component: 'echo' }), /"from" has to name the binding/],
    [() => flowWith({ timeoutMs: 0 }), /timeoutMs is 0, allowed is 1 to/],
    [() => flowWith({ retry: { attempts: 11 } }), /retry\.attempts is 11, allowed is 1 to 10/],
    [() => flowWith({ retry: { attempts: 1.5 } }), /whole number/],
    [() => flowWith({ retry: { attempts: 2, factor: Number.NaN } }), /retry\.factor is NaN/],
    [
      () =>
        defineFlow({
          name: 'twice',
          input: z.unknown(),
          output: z.unknown(),
          steps: (steps) =>
            steps
              .step('one', point, { component, input: () => '' })
              .parallel((parts) => parts.step('one', point, { component, input: () => '' })),
          result: () => null,
        }),
      /Step one stands in its flow twice/,
    ],
    [
      () =>
        defineFlow({
          name: 'empty',
          input: z.unknown(),
          output: z.unknown(),
          steps: (steps) => steps,
          result: () => null,
        }),
      /has no steps/,
    ],
  ];
  for (const [define, why] of refused) assert.throws(define, { name: 'TypeError', message: why });
});

test('a step has what it left out', () => {
  const [step] = flowWith({}).parts.flat();
  assert.deepEqual(
    { retry: step?.retry, timeoutMs: step?.timeoutMs, optional: step?.optional, from: step?.from },
    {
      retry: { attempts: 1, backoffMs: 100, factor: 2, maxBackoffMs: 5_000 },
      timeoutMs: 10_000,
      optional: false,
      from: null,
    },
  );
});

test('pauses grow to their most, and differ by a fifth', () => {
  const retry = { attempts: 9, backoffMs: 100, factor: 2, maxBackoffMs: 350 };
  const pauses = [2, 3, 4, 5].map((attempt) => pauseBefore(attempt, retry, { random: () => 0.5 }));
  assert.deepEqual(pauses, [100, 200, 350, 350]);
  assert.equal(pauseBefore(2, retry, { random: () => 0 }), 80);
  assert.ok(Math.abs(pauseBefore(2, retry, { random: () => 1 }) - 120) < 1e-9);
});

test('the real clock sleeps until it is over or called off', async () => {
  const stop = new AbortController();
  const long = realClock.sleep(60_000, stop.signal);
  assert.equal(await realClock.sleep(1, stop.signal), true);
  stop.abort();
  assert.equal(await long, false);
  assert.equal(await realClock.sleep(60_000, stop.signal), false);
});
