/** Workers themselves: looked at, uploaded, removed. */
import { manifestSchema } from '../../../functions/contract/manifest.ts';
import type { FunctionEntry } from '../../registry/registry.ts';
import { type Caller, requireClaims, requireRead } from '../access.ts';
import type { DeployAnswer } from '../deploy.ts';
import { deleteFunction } from '../functions.ts';
import { iso } from '../http.ts';
import { requireDeploy } from '../lookup.ts';
import type { AssetUploads } from './assets.ts';
import { bindingsView } from './bindings.ts';
import { NO_SUCH_SERVICE, onePage, success } from './envelope.ts';
import { uuidOf, uuidOfVersion } from './ids.ts';
import { type CloudflareApp, type CloudflareParts, scriptName, workerNamed } from './parts.ts';
import { readWorkerUpload } from './upload.ts';

const SCRIPTS = '/accounts/:account/workers/scripts';

export function scriptsResource(app: CloudflareApp, parts: CloudflareParts, assets: AssetUploads): void {
  const { registry, secrets } = parts;

  app.get(SCRIPTS, (c) => {
    requireRead(c.get('caller'));
    const all = [...registry.functions()].sort((a, b) => (a.record.name < b.record.name ? -1 : 1));
    return success(all.map(scriptView), onePage(all.length));
  });

  app.put(`${SCRIPTS}/:script`, async (c) => {
    const name = scriptName(c);
    const deployed = await deployWorker(parts, assets, c.get('caller'), name, c.req.raw, true);
    const entry = workerNamed(registry, name);
    const version = uuidOfVersion(deployed.version);
    return success({
      ...scriptView(entry),
      etag: deployed.version,
      // As Cloudflare's: of the version, where a deployment's is said.
      deployment_id: version.replaceAll('-', ''),
      startup_time_ms: Math.round(deployed.timings.loadMs),
    });
  });

  app.delete(`${SCRIPTS}/:script`, async (c) => {
    await deleteFunction(parts, c.get('caller'), scriptName(c));
    return success(null);
  });

  app.get(`${SCRIPTS}/:script/settings`, async (c) => {
    const name = scriptName(c);
    const caller = c.get('caller');
    requireRead(caller, name);
    const manifest = workerNamed(registry, name).active?.manifest;
    const keys = await secrets.keys(caller, name);
    return success({
      bindings: manifest === undefined ? [] : bindingsView(manifest, keys),
      compatibility_date: manifest?.compatibility_date ?? undefined,
      compatibility_flags: manifest?.compatibility_flags ?? [],
      usage_model: 'standard',
      tags: [],
      placement: {},
      tail_consumers: null,
      logpush: false,
      observability: { enabled: false },
    });
  });

  // Settings that concern Cloudflare's platform alone: taken, as a wrangler file's are, and without effect.
  app.patch(`${SCRIPTS}/:script/script-settings`, (c) => {
    const name = scriptName(c);
    requireDeploy(c.get('caller'), registry, name);
    workerNamed(registry, name);
    return success({ tags: [], logpush: false, observability: { enabled: false }, tail_consumers: null });
  });

  app.get('/accounts/:account/workers/services/:script', (c) => {
    const name = scriptName(c);
    requireRead(c.get('caller'), name);
    const { record } = workerNamed(registry, name, NO_SUCH_SERVICE);
    const times = { created_on: iso(record.createdAt), modified_on: iso(record.updatedAt) };
    const script = { id: name, tag: uuidOf(name), tags: [], last_deployed_from: 'wrangler', ...times };
    const environment = { environment: 'production', ...times, script };
    return success({ id: name, ...times, default_environment: environment, environments: [environment] });
  });

  app.delete('/accounts/:account/workers/services/:script', async (c) => {
    await deleteFunction(parts, c.get('caller'), scriptName(c));
    return success(null);
  });

  // Asked before a Worker is deleted: there are none, and so nothing of theirs is left running.
  app.get('/accounts/:account/workers/durable_objects/namespaces', () => success([], onePage(0)));

  // Likewise who calls it, which Hearth does not look for: a deploy of its callers is not refused without it either.
  app.get('/accounts/:account/workers/tails/by-consumer/:script', () => success([]));
  app.get('/accounts/:account/workers/scripts/:script/references', (c) => {
    requireRead(c.get('caller'), scriptName(c));
    return success({ services: { incoming: [], outgoing: [] }, durable_objects: [], dispatch_outbounds: [] });
  });
}

/** Rights first, then what is uploaded: a body of 64 MB is not read for somebody who may not deploy. */
export async function deployWorker(
  { registry, deployer, secrets }: CloudflareParts,
  assets: AssetUploads,
  caller: Caller,
  name: string,
  request: Request,
  activate: boolean,
): Promise<DeployAnswer> {
  requireDeploy(caller, registry, name);
  const before = registry.function(name)?.active?.manifest;
  const { label: _of_the_version_before, ...settings } = before?.hearth ?? settingsFor(caller);
  const worker = await readWorkerUpload(request, before, settings);
  if (Object.keys(worker.secrets).length > 0) await secrets.put(caller, name, worker.secrets);
  return await deployer.deploy({
    name,
    upload: await assets.complete(name, worker, registry.function(name)?.active),
    activate,
    actor: caller.id,
    authorize: (manifest) => requireClaims(caller, manifest),
  });
}

/** Of a function that is new: a token for one trust group has no other place to deploy to. */
function settingsFor({ trustGroups }: Caller) {
  const { hearth } = manifestSchema.parse({});
  const [first] = trustGroups;
  return first === undefined ? hearth : { ...hearth, trustGroup: first };
}

function scriptView({ record, active }: FunctionEntry): Record<string, unknown> {
  return {
    id: record.name,
    tag: uuidOf(record.name),
    etag: active?.version ?? '',
    handlers: active?.record.handlers ?? [],
    created_on: iso(record.createdAt),
    modified_on: iso(record.updatedAt),
    usage_model: 'standard',
    compatibility_date: active?.manifest.compatibility_date ?? undefined,
    compatibility_flags: active?.manifest.compatibility_flags ?? [],
    has_assets: active?.manifest.assets !== undefined,
    has_modules: true,
    logpush: false,
  };
}
