/** Bindings as the upload of a Worker names them, and as a manifest does. */
import { z } from 'zod';
import { HearthError } from '../../../functions/contract/errors.ts';
import type { Manifest } from '../../../functions/contract/manifest.ts';

const nameSchema = z.string().min(1).max(256);

/** Those that Hearth has. What more a client says of one does not concern it. */
const knownSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('plain_text'), name: nameSchema, text: z.string() }),
  z.object({ type: z.literal('json'), name: nameSchema, json: z.json() }),
  z.object({ type: z.literal('secret_text'), name: nameSchema, text: z.string().max(128 * 1024) }),
  z.object({ type: z.literal('kv_namespace'), name: nameSchema, namespace_id: z.string() }),
  z.object({
    type: z.literal('queue'),
    name: nameSchema,
    queue_name: z.string(),
    delivery_delay: z.number().optional(),
  }),
  z.object({
    type: z.literal('service'),
    name: nameSchema,
    service: z.string(),
    entrypoint: z.string().optional(),
    props: z.record(z.string(), z.json()).optional(),
  }),
  z.object({ type: z.literal('r2_bucket'), name: nameSchema, bucket_name: z.string() }),
  z.object({ type: z.literal('ratelimit'), name: nameSchema, namespace_id: z.string(), simple: z.json() }),
  z.object({ type: z.literal('version_metadata'), name: nameSchema }),
  z.object({ type: z.literal('assets'), name: nameSchema }),
  z.object({ type: z.literal('inherit'), name: nameSchema }),
]);
type KnownBinding = z.output<typeof knownSchema>;

/** Any other is handed to the manifest under its key there, which says that Hearth does not do it. */
export const uploadedBindingSchema = z.looseObject({ name: nameSchema, type: z.string().max(64) });
export type UploadedBinding = z.output<typeof uploadedBindingSchema>;

const KNOWN = new Set<string>(knownSchema.options.flatMap(({ shape }) => [...shape.type.values]));

const MANIFEST_KEYS: Readonly<Record<string, string>> = {
  agent_memory: 'agent_memory',
  ai: 'ai',
  ai_search: 'ai_search',
  ai_search_namespace: 'ai_search_namespaces',
  analytics: 'analytics_engine_datasets',
  analytics_engine: 'analytics_engine_datasets',
  artifacts: 'artifacts',
  browser: 'browser',
  d1: 'd1_databases',
  data_blob: 'data_blobs',
  dispatch_namespace: 'dispatch_namespaces',
  durable_object_namespace: 'durable_objects',
  flagship: 'flagship',
  hyperdrive: 'hyperdrive',
  images: 'images',
  logfwdr: 'logfwdr',
  media: 'media',
  mtls_certificate: 'mtls_certificates',
  pipelines: 'pipelines',
  secrets_store_secret: 'secrets_store_secrets',
  send_email: 'send_email',
  stream: 'stream',
  text_blob: 'text_blobs',
  unsafe_hello_world: 'unsafe_hello_world',
  vectorize: 'vectorize',
  vpc_network: 'vpc_networks',
  vpc_service: 'vpc_services',
  wasm_module: 'wasm_modules',
  worker_loader: 'worker_loaders',
  workflow: 'workflows',
};

/** The keys of a manifest that bindings make. */
export interface ManifestBindings {
  vars: Record<string, unknown>;
  kv_namespaces: unknown[];
  queues: { producers: unknown[] };
  services: unknown[];
  [key: string]: unknown;
}

export interface TranslatedBindings {
  manifest: ManifestBindings;
  /** Not part of a version: they are kept apart, encrypted. */
  secrets: Record<string, string>;
  /** Name in env of the static assets. */
  assets: string | undefined;
}

/** `before`: the manifest of the version that serves, from which bindings are inherited. Throws BAD_REQUEST. */
export function translateBindings(
  given: readonly UploadedBinding[],
  before: Manifest | undefined,
  keptVars: { text: boolean; json: boolean },
): TranslatedBindings {
  const vars: Record<string, unknown> = Object.create(null);
  for (const [name, value] of Object.entries(before?.vars ?? {})) {
    if (typeof value === 'string' ? keptVars.text : keptVars.json) vars[name] = value;
  }
  const manifest: ManifestBindings = { vars, kv_namespaces: [], queues: { producers: [] }, services: [] };
  const made: TranslatedBindings = { manifest, secrets: Object.create(null), assets: undefined };
  for (const each of given) {
    if (KNOWN.has(each.type)) add(made, known(each), before);
    else push(manifest, MANIFEST_KEYS[each.type] ?? refuse(each), { binding: each.name });
  }
  return made;
}

function refuse({ name, type }: UploadedBinding): never {
  throw new HearthError('BAD_REQUEST', `The binding "${name}" is of type "${type}", which Hearth does not know.`);
}

function known(binding: UploadedBinding): KnownBinding {
  const parsed = knownSchema.safeParse(binding);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new HearthError(
    'BAD_REQUEST',
    `The binding "${binding.name}" (${binding.type}), ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`,
  );
}

function add(made: TranslatedBindings, given: KnownBinding, before: Manifest | undefined): void {
  const { manifest, secrets } = made;
  const { name: binding } = given;
  switch (given.type) {
    case 'plain_text':
      manifest.vars[binding] = given.text;
      return;
    case 'json':
      manifest.vars[binding] = given.json;
      return;
    case 'secret_text':
      secrets[binding] = given.text;
      return;
    case 'kv_namespace':
      manifest.kv_namespaces.push({ binding, id: given.namespace_id });
      return;
    case 'queue':
      manifest.queues.producers.push({ binding, queue: given.queue_name, delivery_delay: given.delivery_delay ?? 0 });
      return;
    case 'service': {
      const { service, entrypoint, props } = given;
      manifest.services.push(defined({ binding, service, entrypoint, props }));
      return;
    }
    case 'r2_bucket':
      push(manifest, 'r2_buckets', { binding, bucket_name: given.bucket_name });
      return;
    case 'ratelimit':
      push(manifest, 'ratelimits', { name: binding, namespace_id: given.namespace_id, simple: given.simple });
      return;
    case 'version_metadata':
      manifest.version_metadata = { binding };
      return;
    case 'assets':
      made.assets = binding;
      return;
    case 'inherit':
      inherit(manifest, binding, before);
      return;
    default:
      given satisfies never;
  }
}

/** A secret needs nothing: those that are set go with every version. */
function inherit(manifest: ManifestBindings, binding: string, before: Manifest | undefined): void {
  const named = <Item extends { binding: string }>(items: readonly Item[] | undefined) =>
    items?.filter((item) => item.binding === binding) ?? [];
  manifest.kv_namespaces.push(...named(before?.kv_namespaces));
  manifest.queues.producers.push(...named(before?.queues.producers));
  manifest.services.push(...named(before?.services));
  if (before !== undefined && Object.hasOwn(before.vars, binding)) manifest.vars[binding] = before.vars[binding];
}

function push(manifest: ManifestBindings, key: string, item: unknown): void {
  const list = manifest[key];
  if (Array.isArray(list)) list.push(item);
  else manifest[key] = [item];
}

function defined(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

/** As Cloudflare shows what a version is bound to. Values of secrets are never shown. */
export function bindingsView(manifest: Manifest, secrets: readonly string[]): Record<string, unknown>[] {
  return [
    ...Object.entries(manifest.vars).map(([name, value]) =>
      typeof value === 'string' ? { type: 'plain_text', name, text: value } : { type: 'json', name, json: value },
    ),
    ...secrets.map((name) => ({ type: 'secret_text', name })),
    ...manifest.kv_namespaces.map(({ binding, id }) => ({ type: 'kv_namespace', name: binding, namespace_id: id })),
    ...manifest.queues.producers.map(({ binding, queue }) => ({ type: 'queue', name: binding, queue_name: queue })),
    ...manifest.services.map(({ binding, ...service }) => ({ type: 'service', name: binding, ...service })),
    ...(manifest.version_metadata === undefined
      ? []
      : [{ type: 'version_metadata', name: manifest.version_metadata.binding }]),
    ...(manifest.assets?.binding === undefined ? [] : [{ type: 'assets', name: manifest.assets.binding }]),
  ];
}
