/** From what is stored of a version to what the pool runs. */
import type { BindingSpec } from '../../functions/contract/invocation.ts';
import type { Manifest } from '../../functions/contract/manifest.ts';
import type { ModuleImage, ModuleLimits, ModuleSpec } from '../../pool/keeper/api.ts';
import type { VersionRecord } from '../store/api/registry.ts';
import { serviceSpecs } from './service-specs.ts';

/** The opened secrets of one function at one revision. */
export interface OpenedSecrets {
  revision: number;
  values: Readonly<Record<string, string>>;
  /** A secret that does not open: the function must not run without it. */
  problem: Error | null;
}

export interface SpecParts {
  record: VersionRecord;
  secrets: OpenedSecrets;
  /** For manifests that name none (HEARTH_NETWORK). */
  network: 'all' | 'none';
  image(): ModuleImage | Promise<ModuleImage>;
}

export function createSpec({ record, secrets, network, image }: SpecParts): ModuleSpec {
  const { manifest, functionName, version } = record;
  const { hearth } = manifest;
  const vars: Record<string, string> = {};
  const jsonVars: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(manifest.vars)) {
    if (typeof value === 'string') vars[name] = value;
    else jsonVars[name] = value;
  }
  if (manifest.version_metadata !== undefined) {
    const timestamp = new Date(record.createdAt).toISOString();
    jsonVars[manifest.version_metadata.binding] = { id: version, tag: hearth.label ?? '', timestamp };
  }
  for (const [name, value] of Object.entries(secrets.values)) {
    vars[name] = value;
    // A secret goes before a variable of its name.
    delete jsonVars[name];
  }
  const { problem } = secrets;
  return {
    key: keyOf(record, secrets),
    functionName,
    version,
    base: hearth.base,
    trustGroup: hearth.trustGroup,
    network: hearth.network ?? network,
    group: hearth.group,
    pool: hearth.pool,
    limits: limitsOf(manifest),
    image: problem === null ? image : () => Promise.reject(problem),
    vars,
    jsonVars,
    bindings: [...bindingsOf(manifest), ...assetsSpecs(record), ...serviceSpecs(manifest, functionName, vars)],
  };
}

/** Of instances that may serve each other's calls. */
export function keyOf(
  { functionName, version }: { functionName: string; version: string },
  { revision }: OpenedSecrets,
): string {
  return `${functionName}@${version}+${revision}`;
}

function limitsOf({ hearth, limits }: Manifest): ModuleLimits {
  return {
    timeoutMs: hearth.timeoutMs,
    memoryMb: hearth.memoryMb,
    cpuMs: limits.cpu_ms ?? 0,
    concurrency: hearth.concurrency,
    minInstances: hearth.minInstances,
    maxInstances: hearth.maxInstances,
    reserved: hearth.reserved,
    keepAlive: hearth.keepAlive,
  };
}

function assetsSpecs({ manifest, assets }: VersionRecord): BindingSpec[] {
  const settings = manifest.assets;
  if (assets === undefined || settings?.binding === undefined) return [];
  const { binding, html_handling, not_found_handling } = settings;
  return [{ kind: 'assets', name: binding, listing: assets.listing, html_handling, not_found_handling }];
}

function bindingsOf(manifest: Manifest): BindingSpec[] {
  return [
    ...manifest.kv_namespaces.map(({ binding, id }): BindingSpec => ({ kind: 'kv', name: binding, namespace: id })),
    ...manifest.queues.producers.map(
      ({ binding, queue, delivery_delay }): BindingSpec => ({
        kind: 'queue',
        name: binding,
        queue,
        // Without one, the queue's own setting holds.
        ...(delivery_delay > 0 ? { deliveryDelayS: delivery_delay } : {}),
      }),
    ),
    ...manifest.services.map(
      ({ binding, service, entrypoint, props }): BindingSpec => ({
        kind: 'service',
        name: binding,
        service,
        ...(entrypoint === undefined ? {} : { entrypoint }),
        ...(props === undefined ? {} : { props }),
        ...breakerOf(manifest, binding),
      }),
    ),
  ];
}

function breakerOf({ hearth: { breakers = {} } }: Manifest, binding: string) {
  const breaker = Object.hasOwn(breakers, binding) ? breakers[binding] : undefined;
  return breaker === undefined ? {} : { breaker };
}
