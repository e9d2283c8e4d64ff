import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { Script } from 'node:vm';
import { libraryRehearsal } from './rehearsal-libraries.ts';

type Fetch = (request: Request, env: object, ctx: object) => Promise<Response>;

/** Its answer to a call, as a base would load and make it. */
async function rehearsed(source: string, require: (specifier: string) => unknown): Promise<string> {
  const module = { exports: {} as { default: { fetch: Fetch } } };
  const run = new Script(`(function (require, module) { ${source} })`).runInThisContext() as (
    ...args: unknown[]
  ) => void;
  run(require, module);
  const answer = await module.exports.default.fetch(
    new Request('http://rehearsal.localhost/some/path?and=query'),
    {},
    {},
  );
  assert.equal(answer.status, 200);
  return answer.text();
}

test('a base without libraries that are known has nothing more to rehearse', () => {
  assert.equal(libraryRehearsal([]), null);
  assert.equal(libraryRehearsal(['left-pad', 'hono/jsx']), null);
});

test('what is rehearsed works with the libraries that Hearth brings', async () => {
  const source = libraryRehearsal(['left-pad', 'zod', 'hono']);
  assert.ok(source !== null);
  const asked: string[] = [];
  const real = createRequire(import.meta.url);
  const require = (specifier: string): unknown => {
    asked.push(specifier);
    return real(specifier);
  };
  assert.equal(await rehearsed(source, require), '');
  assert.deepEqual(asked, ['zod', 'hono'], 'left-pad is left alone');
});

test('a library of another shape is no fault of the base, and does not keep the next from being rehearsed', async () => {
  const source = libraryRehearsal(['zod', 'hono']);
  assert.ok(source !== null);
  const asked: string[] = [];
  const require = (specifier: string): unknown => {
    asked.push(specifier);
    if (specifier === 'zod') throw new Error('not installed');
    return {};
  };
  assert.match(await rehearsed(source, require), /^zod: Error: not installed\nhono: TypeError: .*$/);
  assert.deepEqual(asked, ['zod', 'hono']);
});
