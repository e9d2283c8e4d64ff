/**
 * What a rehearsal does with the libraries a base provides. They are compiled function by function as they are first
 * used: with Hono and zod that is 4 ms for whoever comes first. Used once in the rehearsal it is less than 1 ms; further
 * rounds gained next to nothing.
 */

/**
 * By import specifier, the body of `async (library) => …` with `request`, `env` and `ctx` in scope: what most functions do
 * with it and no more, as each kind of schema costs CPU at every boot.
 */
const PIECES: ReadonlyMap<string, string> = new Map([
  [
    'hono',
    `const app = new library.Hono();
    app.get('/some/:part', (c) => c.json({ part: c.req.param('part'), and: c.req.query('and') }));
    await app.fetch(request, env, ctx);
    const all = new library.Hono();
    all.get('*', (c) => c.text('all'));
    await all.fetch(request, env, ctx);`,
  ],
  [
    'zod',
    `const { z } = library;
    const schema = z.object({
      id: z.string().min(1),
      count: z.number().int().optional(),
      tags: z.array(z.string()),
      kind: z.enum(['a', 'b']).default('a'),
    });
    schema.parse({ id: 'one', tags: ['new'] });
    schema.safeParse({ id: '', tags: 1 }).error.issues.length;`,
  ],
]);

/**
 * A module that uses those of the shared libraries that have a piece; null when none has. Its answer says which of them
 * threw, as a library of another version may: that is no fault of the base.
 */
export function libraryRehearsal(specifiers: readonly string[]): string | null {
  const known = specifiers.filter((specifier) => PIECES.has(specifier));
  if (known.length === 0) return null;
  const pieces = known.map((specifier) => {
    const name = JSON.stringify(specifier);
    return `  try { await (async (library) => { ${PIECES.get(specifier)} })(require(${name})); }
  catch (error) { failed.push(${name} + ': ' + error); }`;
  });
  return `'use strict';
module.exports = { default: { async fetch(request, env, ctx) {
  const failed = [];
${pieces.join('\n')}
  return new Response(failed.join('\\n'));
} } };
`;
}
