/** Applications that run the same in Hearth and on plain Node. */
import { Hono } from 'hono';

/** Gives back what it was sent, having read all of it. */
export const ECHO_APP = new Hono().post('/', async (c) => c.body(await c.req.arrayBuffer()));

/** The same as source, which is what a deploy takes. */
export const ECHO_SOURCE = `import { Hono } from 'hono';
export default new Hono().post('/', async (c) => c.body(await c.req.arrayBuffer()));`;
