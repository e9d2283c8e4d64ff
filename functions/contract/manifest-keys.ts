/** What a wrangler file may hold and Hearth treats in its own way. */

/** Accepted and without effect: they concern Cloudflare's accounts, dashboards and developer tools, not what runs. */
export const IGNORED_KEYS = [
  '$schema',
  'account_id',
  'compliance_region',
  'dev',
  // As `wrangler deploy` without --env: the top level alone counts.
  'env',
  'first_party_worker',
  'keep_names',
  'keep_vars',
  'legacy_env',
  'minify',
  'observability',
  'placement',
  'preview_urls',
  'previews',
  'send_metrics',
  'upload_source_maps',
  'usage_model',
  'workers_dev',
] as const;
export type IgnoredKey = (typeof IGNORED_KEYS)[number];

/** Features of Workers that Hearth does not have: refused by name, since ignoring them would break the code later. */
export const UNSUPPORTED_FEATURES: Readonly<Record<string, string>> = {
  agent_memory: 'Agent memory',
  ai: 'Workers AI',
  ai_search: 'AI Search',
  ai_search_namespaces: 'AI Search',
  analytics_engine_datasets: 'Analytics Engine',
  artifacts: 'Artifacts',
  browser: 'Browser Rendering',
  cache: 'The Workers cache setting',
  cloudchamber: 'Cloudchamber',
  containers: 'Containers',
  d1_databases: 'D1',
  data_blobs: 'Data blobs',
  dispatch_namespaces: 'Workers for Platforms',
  durable_objects: 'Durable Objects',
  flagship: 'Flagship',
  hyperdrive: 'Hyperdrive',
  images: 'Images',
  logfwdr: 'logfwdr',
  logpush: 'Logpush',
  media: 'Media Transformations',
  migrations: 'Durable Objects migrations',
  mtls_certificates: 'mTLS certificates',
  pages_build_output_dir: 'Pages',
  pipelines: 'Pipelines',
  secrets_store_secrets: 'Secrets Store',
  send_email: 'Email sending',
  site: 'Workers Sites',
  stream: 'Stream',
  streaming_tail_consumers: 'Tail Workers',
  tail_consumers: 'Tail Workers',
  text_blobs: 'Text blobs',
  unsafe: 'Unsafe bindings',
  unsafe_hello_world: 'Unsafe bindings',
  vectorize: 'Vectorize',
  vpc_networks: 'Workers VPC',
  vpc_services: 'Workers VPC',
  wasm_modules: 'Service-worker WASM modules',
  websearch: 'Web search',
  worker_loaders: 'Worker loaders',
  workflows: 'Workflows',
};

/** Settings of wrangler's own bundler: Hearth builds by itself, so a build that relies on them would come out wrong. */
export const UNSUPPORTED_BUILD_KEYS: readonly string[] = [
  'alias',
  'base_dir',
  'build',
  'define',
  'find_additional_modules',
  'jsx_factory',
  'jsx_fragment',
  'no_bundle',
  'preserve_file_names',
  'python_modules',
  'tsconfig',
];

/** Why this key is refused, as a sentence; `path` is where it stands. */
export function refusal(key: string, path: readonly PropertyKey[]): string {
  if (path.length === 0) {
    const feature = UNSUPPORTED_FEATURES[key];
    if (feature !== undefined) {
      return `"${key}": ${feature} ${feature.endsWith('s') && feature !== 'Pages' ? 'are' : 'is'} part of Workers that Hearth does not do; take the key out, or run this function elsewhere.`;
    }
    if (UNSUPPORTED_BUILD_KEYS.includes(key)) {
      return `"${key}" is a setting of wrangler's bundler, which Hearth does not use; take the key out, or build first and deploy the result.`;
    }
  }
  if (path.length === 1 && path[0] === 'assets' && (key === '_headers' || key === '_redirects')) {
    return `"${key}" of the assets is part of Workers that Hearth does not do; take the file out, or answer by a function.`;
  }
  const where = path.length === 0 ? 'the manifest' : `"${path.map(String).join('.')}"`;
  return `"${key}" is not a key of ${where}.`;
}
