/** What cold starts are measured with. `UNIQUE` stands for the name of the function, so that no two are alike. */
import { join } from 'node:path';
import { build } from 'esbuild';

export interface Variant {
  name: string;
  /** A file of TypeScript, as an author writes it. */
  source: string;
  /** What the base provides. */
  shared: string[];
  /** Hearth gets the bundle that workerd gets, with copies of its own of all libraries. */
  ownCopies: boolean;
  /** Big ones are fewer: each of them is stored with its code cache. */
  most: number;
}

const TINY = `const id = 'UNIQUE';
export default { fetch: () => new Response(id) };`;

const HONO = `import { Hono } from 'hono';
const app = new Hono();
app.get('*', (c) => c.text('UNIQUE'));
export default app;`;

const HONO_ZOD = `import { Hono } from 'hono';
import { z } from 'zod';
const Answer = z.object({ id: z.string().min(1), at: z.number().optional() });
const app = new Hono();
app.get('*', (c) => c.text(Answer.parse({ id: 'UNIQUE' }).id));
export default app;`;

const ANY = Number.POSITIVE_INFINITY;

export const VARIANTS: Variant[] = [
  { name: 'tiny', source: TINY, shared: [], ownCopies: false, most: ANY },
  { name: 'hono, provided', source: HONO, shared: ['hono'], ownCopies: false, most: ANY },
  { name: 'hono + zod, both provided', source: HONO_ZOD, shared: ['hono', 'zod'], ownCopies: false, most: 500 },
  { name: 'hono + zod, own copies', source: HONO_ZOD, shared: [], ownCopies: true, most: 500 },
];

/** One ES module with everything in it and nothing minified: what wrangler sends, and what workerd gets here. */
export async function bundled(source: string): Promise<string> {
  const result = await build({
    stdin: { contents: source, resolveDir: join(import.meta.dirname, '../..'), loader: 'ts' },
    bundle: true,
    format: 'esm',
    target: 'es2024',
    write: false,
  });
  return result.outputFiles[0]?.text ?? '';
}
