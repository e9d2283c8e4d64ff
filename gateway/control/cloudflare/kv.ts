/**
 * KV namespaces as wrangler makes and finds them. One of Hearth is there once a function names it, and belongs to the
 * trust group of whoever does; so its id is its title, and what is listed is what functions name.
 */
import { z } from 'zod';
import { requireRead } from '../access.ts';
import { onePage, success } from './envelope.ts';
import { type CloudflareApp, type CloudflareParts, jsonOf } from './parts.ts';

const NAMESPACES = '/accounts/:account/storage/kv/namespaces';

export function kvResource(app: CloudflareApp, { registry }: Pick<CloudflareParts, 'registry'>): void {
  app.get(NAMESPACES, (c) => {
    requireRead(c.get('caller'));
    const ids = new Set<string>();
    for (const { active } of registry.functions()) {
      for (const { id } of active?.manifest.kv_namespaces ?? []) ids.add(id);
    }
    return success([...ids].sort().map(namespaceView), onePage(ids.size));
  });

  // Nothing is stored: whoever may deploy names what it likes.
  app.post(NAMESPACES, async (c) => {
    const { title } = await jsonOf(c, z.looseObject({ title: z.string().min(1).max(256) }));
    return success(namespaceView(title));
  });
}

function namespaceView(id: string) {
  return { id, title: id, supports_url_encoding: true };
}
