/**
 * What calls a Worker: schedules, routes, domains, the consumers of queues. As with Cloudflare they are no part of a
 * version, so they become a publication of the function's name; what is not said stays as it was.
 */
import { z } from 'zod';
import { fromWranglerWeekdays } from '../../../functions/contract/cron.ts';
import { HearthError } from '../../../functions/contract/errors.ts';
import { publicationSchema } from '../../../functions/contract/publication.ts';
import type { PublicationRecord } from '../../store/api/publications.ts';
import { createLocks } from '../../triggers/locks.ts';
import { type Caller, requireRead } from '../access.ts';
import { requireDeploy } from '../lookup.ts';
import { invalidRequest } from '../problems.ts';
import { success } from './envelope.ts';
import { uuidOf } from './ids.ts';
import { type CloudflareApp, type CloudflareParts, jsonOf, scriptName, workerNamed } from './parts.ts';

const SCRIPT = '/accounts/:account/workers/scripts/:script';

const schedulesSchema = z.array(z.looseObject({ cron: z.string().max(256) })).max(50);
const routesSchema = z.array(z.looseObject({ pattern: z.string().max(2048) })).max(200);
const domainsSchema = z.array(z.looseObject({ hostname: z.string().max(253) })).max(100);
const subdomainSchema = z.looseObject({ enabled: z.boolean().default(true), previews_enabled: z.boolean().optional() });

/** From what is published under the function's own name; undefined: by its manifest alone. */
export type Change = (before: PublicationRecord | undefined) => Partial<z.input<typeof publicationSchema>>;
export type Republish = (caller: Caller, name: string, change: Change) => Promise<void>;

/** Changes of one function go one after another: wrangler sends them all at once. */
export function createRepublish({ registry, publisher }: Pick<CloudflareParts, 'registry' | 'publisher'>): Republish {
  const locked = createLocks();
  return (caller, name, change) =>
    locked(name, async () => {
      requireDeploy(caller, registry, name);
      workerNamed(registry, name);
      const before = registry.publication(name);
      const { name: _name, createdAt: _created, updatedAt: _updated, ...kept } = { createdAt: 0, ...before };
      const parsed = publicationSchema.safeParse({ function: name, ...kept, ...change(before) });
      if (!parsed.success) throw invalidRequest('json', parsed.error);
      await publisher.publish(caller, name, parsed.data);
    });
}

export function triggersResource(app: CloudflareApp, parts: CloudflareParts, republish: Republish): void {
  const { registry } = parts;

  app.get(`${SCRIPT}/schedules`, (c) => {
    const name = scriptName(c);
    requireRead(c.get('caller'), name);
    workerNamed(registry, name);
    return success({ schedules: registry.crons(name).map(({ cron }) => ({ cron })) });
  });

  app.put(`${SCRIPT}/schedules`, async (c) => {
    const name = scriptName(c);
    const schedules = await jsonOf(c, schedulesSchema);
    const crons = schedules.map(({ cron }) => ({ written: cron.trim(), cron: fromCloudflare(cron) }));
    await republish(c.get('caller'), name, () => ({
      crons: crons.map(({ cron }) => cron),
      cronNames: Object.fromEntries(crons.flatMap(({ written, cron }) => (written === cron ? [] : [[cron, written]]))),
    }));
    return success({ schedules: schedules.map(({ cron }) => ({ cron })) });
  });

  app.put(`${SCRIPT}/routes`, async (c) => {
    const name = scriptName(c);
    const given = await jsonOf(c, routesSchema);
    const patterns = given.map(({ pattern }) => pattern);
    await republish(c.get('caller'), name, (before) => ({
      routes: [...(before?.routes ?? []).filter(isDomain), ...patterns],
      byName: true,
    }));
    return success(patterns);
  });

  // No domain has to be made ready: what is asked for is new, and nothing stands against it that `records` will not say.
  app.post(`${SCRIPT}/domains/changeset`, async (c) => {
    const name = scriptName(c);
    requireRead(c.get('caller'), name);
    const domains = await jsonOf(c, domainsSchema);
    const added = domains.map(({ hostname }) => ({ id: uuidOf(hostname), hostname, service: name }));
    return success({ added, removed: [], updated: [], conflicting: [] });
  });

  app.put(`${SCRIPT}/domains/records`, async (c) => {
    const name = scriptName(c);
    const { origins } = await jsonOf(c, z.looseObject({ origins: domainsSchema }));
    const hosts = origins.map(({ hostname }) => hostname);
    await republish(c.get('caller'), name, (before) => ({
      routes: [...(before?.routes ?? []).filter((route) => !isDomain(route)), ...hosts.map((host) => `${host}/*`)],
      byName: true,
    }));
    return success(hosts.map((hostname) => ({ id: uuidOf(hostname), hostname, service: name })));
  });

  // By its name a function is always reached, so what is asked for is said back and changes nothing.
  app.get(`${SCRIPT}/subdomain`, (c) => {
    requireRead(c.get('caller'), scriptName(c));
    return success({ enabled: true, previews_enabled: false });
  });

  app.post(`${SCRIPT}/subdomain`, async (c) => {
    const name = scriptName(c);
    requireDeploy(c.get('caller'), registry, name);
    const { enabled } = await jsonOf(c, subdomainSchema);
    return success({ enabled, previews_enabled: false });
  });

  app.get('/accounts/:account/workers/workers/:script', (c) => {
    const name = scriptName(c);
    requireRead(c.get('caller'), name);
    const { record } = workerNamed(registry, name);
    return success({
      id: uuidOf(record.name),
      name: record.name,
      // wrangler shows the host of it as where the Worker is.
      subdomain: { enabled: true, previews_enabled: false, url: `http://${name}.localhost` },
    });
  });

  app.get('/accounts/:account/workers/subdomain', () => success({ subdomain: 'hearth' }));
}

/** All of one host, which is what a custom domain is. */
function isDomain(route: string): boolean {
  return !route.startsWith('*') && route.indexOf('/') === route.length - 2 && route.endsWith('/*');
}

/** In cron's own weekdays. Throws BAD_REQUEST. */
function fromCloudflare(cron: string): string {
  try {
    return fromWranglerWeekdays(cron.trim());
  } catch (error) {
    if (error instanceof RangeError) throw new HearthError('BAD_REQUEST', error.message);
    throw error;
  }
}
