/** Versions of a Worker, and which of them serve. */
import { z } from 'zod';
import type { Traffic } from '../../../functions/contract/traffic.ts';
import type { FunctionEntry, VersionEntry } from '../../registry/registry.ts';
import { requireRead } from '../access.ts';
import { iso } from '../http.ts';
import { versionNamed } from '../lookup.ts';
import { setTraffic } from '../traffic.ts';
import type { AssetUploads } from './assets.ts';
import { bindingsView } from './bindings.ts';
import { onePage, success } from './envelope.ts';
import { uuidOf, uuidOfVersion, versionOfUuid } from './ids.ts';
import { type CloudflareApp, type CloudflareParts, jsonOf, scriptName, workerNamed } from './parts.ts';
import { deployWorker } from './scripts.ts';

const SCRIPT = '/accounts/:account/workers/scripts/:script';

const deploymentSchema = z.looseObject({
  versions: z
    .array(z.object({ version_id: z.string().max(64), percentage: z.number().min(0).max(100) }))
    .min(1)
    .max(100),
});

export function versionsResource(app: CloudflareApp, parts: CloudflareParts, assets: AssetUploads): void {
  const { registry } = parts;

  app.post(`${SCRIPT}/versions`, async (c) => {
    const name = scriptName(c);
    workerNamed(registry, name);
    const deployed = await deployWorker(parts, assets, c.get('caller'), name, c.req.raw, false);
    const entry = workerNamed(registry, name);
    const shown = versionView(entry, versionNamed(entry, deployed.version));
    return success({ ...shown, startup_time_ms: Math.round(deployed.timings.loadMs) });
  });

  app.get(`${SCRIPT}/versions`, (c) => {
    const name = scriptName(c);
    requireRead(c.get('caller'), name);
    const entry = workerNamed(registry, name);
    const newest = [...entry.versions.values()].reverse();
    return success({ items: newest.map((version) => versionView(entry, version)) }, onePage(newest.length));
  });

  app.get(`${SCRIPT}/versions/:version`, (c) => {
    const name = scriptName(c);
    requireRead(c.get('caller'), name);
    const entry = workerNamed(registry, name);
    const version = versionNamed(entry, versionOfUuid(c.req.param('version')));
    return success(versionView(entry, version));
  });

  app.get(`${SCRIPT}/deployments`, (c) => {
    const name = scriptName(c);
    requireRead(c.get('caller'), name);
    return success({ deployments: deploymentsOf(workerNamed(registry, name)) });
  });

  app.get(`${SCRIPT}/deployments/:deployment`, (c) => {
    const name = scriptName(c);
    requireRead(c.get('caller'), name);
    const wanted = c.req.param('deployment');
    const found = deploymentsOf(workerNamed(registry, name)).find(({ id }) => id === wanted);
    return success(found ?? null);
  });

  app.post(`${SCRIPT}/deployments`, async (c) => {
    const name = scriptName(c);
    const { versions } = await jsonOf(c, deploymentSchema);
    const split = versions.map(({ version_id, percentage }) => ({
      version: versionOfUuid(version_id),
      percent: percentage,
    }));
    workerNamed(registry, name);
    const entry = await setTraffic(parts, c.get('caller'), name, { split });
    return success(deploymentsOf(entry)[0] ?? null);
  });
}

function versionView(entry: FunctionEntry, { record, manifest }: VersionEntry) {
  const created = iso(record.createdAt);
  const at = [...entry.versions.keys()].indexOf(record.version);
  return {
    id: uuidOfVersion(record.version),
    number: at + 1,
    metadata: {
      created_on: created,
      modified_on: created,
      source: 'wrangler',
      author_id: '',
      author_email: '',
      hasPreview: false,
    },
    annotations: {
      'workers/triggered_by': 'upload',
      ...(manifest.hearth.label === undefined ? {} : { 'workers/tag': manifest.hearth.label }),
    },
    resources: {
      bindings: bindingsView(manifest, []),
      script: { etag: record.version, handlers: record.handlers, last_deployed_from: 'wrangler' },
      script_runtime: {
        compatibility_date: manifest.compatibility_date ?? undefined,
        compatibility_flags: manifest.compatibility_flags,
        usage_model: 'standard',
        ...(manifest.limits.cpu_ms === null ? {} : { limits: { cpu_ms: manifest.limits.cpu_ms } }),
      },
    },
  };
}

/** What serves now, and what a rollback leads to: Hearth keeps no more, its audit says who moved what. */
function deploymentsOf({ record, versions }: FunctionEntry) {
  const known = [record.traffic, record.previousTraffic].filter((each) => each !== null);
  return known.map((traffic, i) => ({
    id: uuidOf(record.name, JSON.stringify(traffic)),
    source: 'wrangler',
    strategy: 'percentage',
    author_email: '',
    // The first came with the last change; of the one before only its version's age is known.
    created_on: iso(i === 0 ? record.updatedAt : Math.min(record.updatedAt - 1, oldestOf(traffic, versions))),
    annotations: {},
    versions: traffic.split.map(({ version, percent }) => ({
      version_id: uuidOfVersion(version),
      percentage: percent,
    })),
  }));
}

function oldestOf({ split }: Traffic, versions: FunctionEntry['versions']): number {
  return Math.max(0, ...split.map(({ version }) => versions.get(version)?.record.createdAt ?? 0));
}
