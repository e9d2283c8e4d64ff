/** What the root of the function port answers when no function is published there. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';

/** Never says which functions there are: this port is open to callers, the control port is not. */
export function createLanding(): (req: IncomingMessage, res: ServerResponse) => Promise<void> {
  const app = new Hono();
  app.get('/', (c) =>
    c.text(
      'Hearth serves functions here.\n\n' +
        '  /NAME/...            by name\n' +
        '  NAME.localhost/...   by host name\n' +
        '  routes               as published\n',
    ),
  );
  return getRequestListener(app.fetch, { overrideGlobalObjects: false });
}
