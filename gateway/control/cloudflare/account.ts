/** What wrangler asks of an account before it does anything. Hearth is one account, whatever id is used for it. */
import { onePage, success } from './envelope.ts';
import type { CloudflareApp } from './parts.ts';

const ACCOUNT = { id: 'hearth', name: 'Hearth', type: 'standard', settings: {} };

export function accountResource(app: CloudflareApp): void {
  app.get('/accounts', () => success([ACCOUNT], onePage(1)));
  app.get('/memberships', () => success([{ id: 'hearth', status: 'accepted', account: ACCOUNT }], onePage(1)));
  app.get('/user', (c) => success({ id: c.get('caller').id, email: `${c.get('caller').id}@hearth.invalid` }));
  app.get('/user/tokens/verify', (c) => success({ id: c.get('caller').id, status: 'active' }));
  // Routes name their hosts themselves: there are no zones to look them up in.
  app.get('/zones', () => success([], onePage(0)));
}
