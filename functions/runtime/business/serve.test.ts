import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { defineBusiness } from './business.ts';
import { defineFlow } from './flow.ts';
import { defineExtensionPoint, implement } from './points.ts';
import { business, components } from './serve.ts';
import { executionContext, logInto, moduleOf } from './testing/world.ts';

const greeting = defineExtensionPoint({
  name: 'greeting',
  description: 'Says something kind.',
  input: z.object({ to: z.string().min(1).describe('Who is greeted.') }),
  output: z.object({ text: z.string() }),
});
const plain = implement(greeting, 'plain', ({ to }) => ({ text: `Hello, ${to}.` }));
const warm = implement(greeting, 'warm', ({ to }) => ({ text: `Dear ${to}!` }), { description: 'For friends.' });
const unable = implement(greeting, 'unable', () => {
  throw new Error('no paper');
});

const request = z.object({ to: z.string().min(1), friend: z.boolean().optional() });
const answer = z.object({ text: z.string() });
const flowWith = (name: string, component: string) =>
  defineFlow({
    name,
    input: request,
    output: answer,
    steps: (steps) =>
      steps.step('greet', greeting, { from: 'GREETINGS', component, input: ({ request: { to } }) => ({ to }) }),
    result: ({ done }) => done.greet,
  });
const letters = defineBusiness({
  name: 'letters',
  description: 'Letters to everybody.',
  input: request,
  output: answer,
  choose: ({ friend, to }) => (to === 'nobody' ? ('none' as 'formal') : friend === true ? 'friendly' : 'formal'),
  templates: { formal: flowWith('formal', 'plain'), friendly: flowWith('friendly', 'warm') },
});

const env = { GREETINGS: moduleOf(plain, warm) };
const call = (body: unknown, path = '/', method = 'POST') =>
  business(letters).fetch(
    new Request(`http://letters${path}`, {
      method,
      ...(method === 'GET' ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    }),
    env,
    executionContext(),
  );

describe('a business as a function', () => {
  test('picks its template by an attribute of the request', async () => {
    const formal = await call({ to: 'Ada' });
    assert.deepEqual([formal.status, await formal.json()], [200, { text: 'Hello, Ada.' }]);
    const friendly = await call({ to: 'Ada', friend: true });
    assert.deepEqual(await friendly.json(), { text: 'Dear Ada!' });
    assert.equal(friendly.headers.get('x-template'), 'friendly');
  });

  test('refuses a request with the field that is wrong', async () => {
    const response = await call({ to: 7 });
    assert.equal(response.status, 400);
    const { error } = (await response.json()) as { error: { code: string; issues: { field: string }[] } };
    assert.equal(error.code, 'INVALID_INPUT');
    assert.deepEqual(
      error.issues.map(({ field }) => field),
      ['request.to'],
    );
    assert.equal((await call('not JSON')).status, 400);
    assert.equal((await call(null, '/', 'PUT')).status, 405);
  });

  test('says that there is no template for a request', async () => {
    const response = await call({ to: 'nobody' });
    assert.equal(response.status, 400);
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    assert.equal(error.code, 'NO_TEMPLATE');
    assert.match(error.message, /business letters: no template "none"; there are formal, friendly/);
  });

  test('answers 502 with the steps when a component fails; why it failed is for the log', async () => {
    const lines: string[] = [];
    const response = await business(letters).fetch(
      new Request('http://letters/', { method: 'POST', body: '{"to":"Ada"}' }),
      { GREETINGS: moduleOf(implement(greeting, 'plain', unable.run)) },
      executionContext({ log: logInto(lines) }),
    );
    assert.equal(response.status, 502);
    const { error } = (await response.json()) as {
      error: { step: string; message: string; steps: { state: string }[] };
    };
    assert.equal(error.step, 'greet');
    const place = 'business letters, flow formal, step greet, component plain';
    assert.equal(error.message, `${place}: it failed; the log of this invocation says why`);
    assert.deepEqual(lines, [`${place}: no paper`]);
    assert.deepEqual(
      error.steps.map(({ state }) => state),
      ['failed'],
    );
  });

  test('shows its documentation, made of the schemas', async () => {
    const page = await (await call(null, '/', 'GET')).text();
    for (const expected of [
      '# letters\n\nLetters to everybody.\n',
      '| `to` | string (at least 1 long) | yes |  |',
      '| `friend` | boolean | no |  |',
      '## Template `friendly`: friendly',
      '1. **greet**: greeting by `warm` of `GREETINGS` (10 s each)',
      '## Extension point `greeting`\n\nSays something kind.\n',
      '| `to` | string (at least 1 long) | yes | Who is greeted. |',
    ]) {
      assert.ok(page.includes(expected), `${expected}\n\nis not in\n\n${page}`);
    }
    const schema = (await (await call(null, '/campaigns/schema', 'GET')).json()) as { points: { input: object }[] };
    assert.deepEqual(schema.points[0]?.input, z.toJSONSchema(greeting.input, { io: 'input' }));
  });
});

describe('a module of components', () => {
  const handler = components(() => [plain, warm, unable]);
  const post = async (path: string, body: unknown) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const response = await handler.fetch(
      new Request(`http://greetings${path}`, { method: 'POST', body: text }),
      {},
      executionContext(),
    );
    return { status: response.status, body: (await response.json()) as { error?: { code: string }; output?: unknown } };
  };

  test('runs each under its point and name', async () => {
    assert.deepEqual(await post('/greeting/plain', { input: { to: 'Ada' } }), {
      status: 200,
      body: { output: { text: 'Hello, Ada.' }, compensates: false },
    });
    assert.deepEqual((await post('/greeting/plain/compensate', { input: { to: 'Ada' } })).body, { compensated: false });
  });

  test('says what is wrong with a call', async () => {
    const said = async (path: string, body: unknown) => {
      const answered = await post(path, body);
      return [answered.status, answered.body.error?.code];
    };
    assert.deepEqual(await said('/greeting/plain', { input: { to: '' } }), [422, 'INVALID_INPUT']);
    assert.deepEqual(await said('/greeting/plain', 'null'), [422, 'INVALID_INPUT']);
    assert.deepEqual(await said('/greeting/plain', 'no'), [422, 'INVALID_INPUT']);
    assert.deepEqual(await said('/greeting/none', {}), [404, 'NO_COMPONENT']);
    assert.deepEqual(await said('/compensate', {}), [404, 'NO_COMPONENT']);
    assert.deepEqual(await said('/greeting/unable', { input: { to: 'Ada' } }), [500, 'COMPONENT_FAILED']);
  });

  test('tells what it has', async () => {
    const response = await handler.fetch(new Request('http://greetings/'), {}, executionContext());
    const { components: list, points } = (await response.json()) as { components: object[]; points: object[] };
    assert.deepEqual(list[1], { point: 'greeting', name: 'warm', description: 'For friends.', compensates: false });
    assert.equal(points.length, 1);
  });

  test('does not take two of one name', async () => {
    const twice = components([plain, plain]);
    await assert.rejects(
      twice.fetch(new Request('http://x/'), {}, executionContext()),
      /Two components are greeting\/plain/,
    );
  });
});
