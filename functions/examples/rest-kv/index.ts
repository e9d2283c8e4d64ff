import type { KVNamespace } from 'hearth';
import { Hono } from 'hono';
import { BadInput, parseLimit, parseNewLink } from './input.ts';

interface Link {
  url: string;
  createdAt: string;
}

const app = new Hono<{ Bindings: { LINKS: KVNamespace } }>();

app.post('/links', async (c) => {
  const input = parseNewLink(await c.req.json().catch(() => null));
  const slug = input.slug ?? crypto.randomUUID().slice(0, 8);
  if ((await c.env.LINKS.get(slug)) !== null) return c.json({ error: `${slug} is taken` }, 409);

  const link: Link = { url: input.url, createdAt: new Date().toISOString() };
  await c.env.LINKS.put(slug, JSON.stringify(link), {
    // Listing reads the metadata and needs no get per link.
    metadata: link,
    ...(input.expiresInSeconds === undefined ? {} : { expirationTtl: input.expiresInSeconds }),
  });
  const short = publicUrl(c.req.raw, slug);
  return c.json({ slug, short, ...link }, 201, { location: short });
});

app.get('/links', async (c) => {
  const cursor = c.req.query('cursor');
  const page = await c.env.LINKS.list<Link>({
    limit: parseLimit(c.req.query('limit')),
    ...(cursor === undefined ? {} : { cursor }),
  });
  return c.json({
    links: page.keys.map((key) => ({ slug: key.name, ...key.metadata })),
    // Send it as ?cursor= for the next page; null at the end.
    cursor: page.list_complete ? null : page.cursor,
  });
});

app.get('/links/:slug', async (c) => {
  const link = await c.env.LINKS.get<Link>(c.req.param('slug'), 'json');
  return link === null ? c.notFound() : c.json({ slug: c.req.param('slug'), ...link });
});

app.delete('/links/:slug', async (c) => {
  if ((await c.env.LINKS.get(c.req.param('slug'))) === null) return c.notFound();
  await c.env.LINKS.delete(c.req.param('slug'));
  return c.body(null, 204);
});

app.get('/:slug', async (c) => {
  const link = await c.env.LINKS.get<Link>(c.req.param('slug'), 'json');
  return link === null ? c.notFound() : c.redirect(link.url, 302);
});

app.notFound((c) => c.json({ error: 'no such link' }, 404));
app.onError((error, c) => {
  if (error instanceof BadInput) return c.json({ error: error.message }, 400);
  console.error(error);
  return c.json({ error: 'something went wrong here' }, 500);
});

/** The address as the visitor sees it: Hearth takes `/rest-kv` off the path and says so in x-forwarded-prefix. */
function publicUrl(request: Request, slug: string): string {
  return `${new URL(request.url).origin}${request.headers.get('x-forwarded-prefix') ?? ''}/${slug}`;
}

export default app;
