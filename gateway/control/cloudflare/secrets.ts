/** `wrangler secret put|list|delete|bulk`. A secret may be set before there is a Worker to have it. */
import { z } from 'zod';
import { HearthError } from '../../../functions/contract/errors.ts';
import { keyParam, secretValue } from '../secrets.ts';
import { onePage, success } from './envelope.ts';
import { type CloudflareApp, type CloudflareParts, jsonOf, scriptName } from './parts.ts';

const SECRETS = '/accounts/:account/workers/scripts/:script/secrets';

const MOST_AT_ONCE = 100;

const secretSchema = z.object({
  name: keyParam,
  text: secretValue,
  type: z.literal('secret_text', { error: 'Only secrets of text exist here.' }),
});

const bulkSchema = z.object({
  secrets: z
    .record(keyParam, secretSchema.nullable())
    .refine((given) => Object.keys(given).length <= MOST_AT_ONCE, `At most ${MOST_AT_ONCE} secrets at once.`)
    .refine((given) => Object.entries(given).every(([key, secret]) => secret === null || secret.name === key), {
      error: 'A secret stands under its own name.',
    }),
});

export function secretsResource(app: CloudflareApp, { secrets }: Pick<CloudflareParts, 'secrets'>): void {
  const view = (name: string) => ({ name, type: 'secret_text' });

  app.get(SECRETS, async (c) => {
    const keys = await secrets.keys(c.get('caller'), scriptName(c));
    return success(keys.map(view), onePage(keys.length));
  });

  app.put(SECRETS, async (c) => {
    const { name, text } = await jsonOf(c, secretSchema);
    await secrets.put(c.get('caller'), scriptName(c), { [name]: text });
    return success(view(name));
  });

  // As a JSON merge patch: null removes.
  app.patch(`${SECRETS}-bulk`, async (c) => {
    const name = scriptName(c);
    const caller = c.get('caller');
    const { secrets: given } = await jsonOf(c, bulkSchema);
    const set = Object.entries(given).flatMap(([key, secret]) => (secret === null ? [] : [[key, secret.text]]));
    await secrets.put(caller, name, Object.fromEntries(set));
    for (const key of await secrets.keys(caller, name)) {
      if (Object.hasOwn(given, key) && given[key] === null) await secrets.delete(caller, name, key);
    }
    return success((await secrets.keys(caller, name)).map(view));
  });

  app.delete(`${SECRETS}/:key`, async (c) => {
    const key = keyParam.safeParse(c.req.param('key'));
    if (!key.success) throw new HearthError('NOT_FOUND', 'There is no secret of this name.');
    await secrets.delete(c.get('caller'), scriptName(c), key.data);
    return success(null);
  });
}
