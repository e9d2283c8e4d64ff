import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { defineBusiness } from './business.ts';
import { describeBusiness, describePoints, renderMarkdown } from './docs.ts';
import { defineFlow } from './flow.ts';
import { defineExtensionPoint, implement } from './points.ts';
import type { Schema } from './schema.ts';

/** The table that is made of one schema, without its head: field, type, required, meaning. */
function rowsOf(input: Schema): string[] {
  const point = defineExtensionPoint({ name: 'point', input, output: z.string() });
  const flow = defineFlow({
    name: 'flow',
    input,
    output: z.unknown(),
    steps: (steps) => steps.step('one', point, { component: implement(point, 'echo', String), input: () => null }),
    result: () => null,
  });
  const business = defineBusiness({
    name: 'shop',
    input,
    output: z.unknown(),
    choose: () => 'only' as const,
    templates: { only: flow },
  });
  const [, request = ''] = renderMarkdown(describeBusiness(business)).split('## Request\n\n');
  return (request.split('## Answer')[0] ?? '').trim().split('\n');
}

test('types and limits are said in words', () => {
  const [, , ...rows] = rowsOf(
    z.object({
      name: z.string().min(1).max(9),
      country: z.string().length(2),
      mail: z.email(),
      code: z.string().regex(/^[A-Z|]+$/),
      count: z.int(),
      share: z.number().gt(0).max(1),
      kind: z.enum(['a', 'b']).default('a').describe('One of\ntwo | only'),
      maybe: z.string().nullable().optional(),
      tags: z.array(z.string()).max(3),
      byKey: z.record(z.string(), z.number()),
      any: z.unknown(),
      deep: z.array(z.object({ inner: z.object({ leaf: z.literal('x') }) })),
    }),
  );
  assert.deepEqual(rows, [
    '| `name` | string (1 to 9 long) | yes |  |',
    '| `country` | string (exactly 2 long) | yes |  |',
    '| `mail` | string (email) | yes |  |',
    '| `code` | string (like ^[A-Z\\|]+$) | yes |  |',
    '| `count` | integer | yes |  |',
    '| `share` | number (at most 1, more than 0) | yes |  |',
    '| `kind` | "a" or "b" | no | One of two \\| only |',
    '| `maybe` | string or null | no |  |',
    '| `tags` | string[] (at most 3 of them) | yes |  |',
    '| `byKey` | number by key | yes |  |',
    '| `any` | anything | yes |  |',
    '| `deep` | object[] | yes |  |',
    '| `deep[].inner` | object | yes |  |',
    '| `deep[].inner.leaf` | "x" | yes |  |',
  ]);
});

test('what is no object is one type, and what JSON Schema cannot say is said to be so', () => {
  assert.deepEqual(rowsOf(z.string().max(4)), ['`string (at most 4 long)`']);
  const mute: Schema = { '~standard': { version: 1, vendor: 'own', validate: (value) => ({ value }) } };
  const [odd, silent] = describePoints([
    defineExtensionPoint({ name: 'odd', input: z.date(), output: z.string() }),
    defineExtensionPoint({ name: 'silent', input: mute, output: mute }),
  ]);
  assert.match(String(odd?.input.$comment), /^zod: .*Date/);
  assert.equal(silent?.input.$comment, 'own gives no JSON Schema');
});

test('a point that several templates use is described once', () => {
  const point = defineExtensionPoint({ name: 'point', input: z.string(), output: z.string() });
  const flow = (name: string) =>
    defineFlow({
      name,
      input: z.unknown(),
      output: z.unknown(),
      steps: (steps) =>
        steps.step('one', point, { component: () => 'x', optional: true, retry: { attempts: 2 }, input: () => '' }),
      result: () => null,
    });
  const { points, templates } = describeBusiness(
    defineBusiness({
      name: 'shop',
      input: z.unknown(),
      output: z.unknown(),
      choose: () => 'a' as 'a' | 'b',
      templates: { a: flow('first'), b: flow('second') },
    }),
  );
  assert.equal(points.length, 1);
  assert.deepEqual(templates.b?.parts, [
    [
      {
        name: 'one',
        point: 'point',
        component: null,
        from: null,
        conditional: false,
        optional: true,
        attempts: 2,
        timeoutMs: 10_000,
      },
    ],
  ]);
});
