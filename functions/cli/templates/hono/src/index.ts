import { Hono } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { Notes } from './notes.ts';

const app = new Hono<{ Bindings: { NOTES: Notes } }>();

app.get('/', (c) => c.json({ notes: '/notes/NAME: GET, PUT' }));

app.get('/notes/:name', async (c) => {
  const text = await c.env.NOTES.get(c.req.param('name'));
  return text === null ? c.notFound() : c.text(text);
});

app.put('/notes/:name', async (c) => {
  const text = await c.req.text();
  if (text.length > 10_000) throw new HTTPException(413, { message: 'A note has at most 10,000 characters.' });
  await c.env.NOTES.put(c.req.param('name'), text);
  return c.body(null, 204);
});

export default app;
