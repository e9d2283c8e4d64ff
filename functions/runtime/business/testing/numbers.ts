/** Components over one small point, and what became of a flow that fails. */
import assert from 'node:assert/strict';
import { z } from 'zod';
import { type AnyComponent, defineExtensionPoint, implement } from '../points.ts';
import { FlowError } from '../run.ts';

export const number = defineExtensionPoint({
  name: 'number',
  input: z.object({ n: z.number() }),
  output: z.object({ n: z.number() }),
});
export const anything = z.unknown();

/** A component that notes its calls under its name. */
export function noting(name: string, log: string[], make: (n: number) => number = (n) => n + 1): AnyComponent {
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

export function failing(name: string, error: Error = new Error('no')): AnyComponent {
  return implement(number, name, () => {
    throw error;
  });
}

export async function failure(running: Promise<unknown>): Promise<FlowError> {
  try {
    await running;
  } catch (error) {
    assert.ok(error instanceof FlowError, String(error));
    return error;
  }
  assert.fail('the flow went well');
}
