/** The upload of a Worker (multipart: `metadata`, then its modules) as a deploy of Hearth. */
import { z } from 'zod';
import { HearthError } from '../../../functions/contract/errors.ts';
import { MAX_DEPLOY_FILES } from '../../../functions/contract/limits.ts';
import { LABEL_PATTERN, type Manifest } from '../../../functions/contract/manifest.ts';
import { isTooDeep } from '../../../pool/link/json-depth.ts';
import { invalidRequest, tooDeep } from '../problems.ts';
import { formOf, type Upload, type UploadFile } from '../upload.ts';
import { translateBindings, uploadedBindingSchema } from './bindings.ts';

/** Of the metadata, which is JSON of names and short texts; a variable has at most 5 KB with Workers. */
const MAX_METADATA_BYTES = 1024 * 1024;

const metadataSchema = z.looseObject({
  main_module: z.string().min(1).max(512).optional(),
  body_part: z.string().optional(),
  bindings: z.array(uploadedBindingSchema).max(2000).default([]),
  keep_bindings: z.array(z.string()).max(100).default([]),
  keep_assets: z.boolean().default(false),
  compatibility_date: z.string().nullish(),
  compatibility_flags: z.array(z.string()).max(200).nullish(),
  limits: z.looseObject({ cpu_ms: z.number().nullish() }).nullish(),
  annotations: z
    .looseObject({ 'workers/tag': z.string().max(128).nullish(), 'workers/message': z.string().nullish() })
    .nullish(),
  assets: z.looseObject({ jwt: z.string().max(4096).optional(), config: z.looseObject({}).nullish() }).nullish(),
  migrations: z.unknown().optional(),
  exports: z.unknown().optional(),
  tail_consumers: z.array(z.unknown()).nullish(),
  streaming_tail_consumers: z.array(z.unknown()).nullish(),
});
type Metadata = z.output<typeof metadataSchema>;

/** What the content type of a part makes of it; `default`: what its name would make of it anyway. */
type Kind = 'source' | 'Text' | 'Data' | 'CompiledWasm' | 'json' | 'map';
const KINDS: Readonly<Record<string, Kind>> = {
  'application/javascript+module': 'source',
  'text/javascript+module': 'source',
  'application/javascript': 'source',
  'text/javascript': 'source',
  'text/plain': 'Text',
  'application/octet-stream': 'Data',
  'application/wasm': 'CompiledWasm',
  'application/json': 'json',
  'application/source-map': 'map',
};
const IMPLIED: Readonly<Record<string, Kind>> = {
  js: 'source',
  mjs: 'source',
  cjs: 'source',
  txt: 'Text',
  html: 'Text',
  sql: 'Text',
  bin: 'Data',
  wasm: 'CompiledWasm',
  json: 'json',
};

export interface WorkerUpload {
  upload: Upload;
  /** To be set before the code is tried. */
  secrets: Record<string, string>;
  /** What came of an upload of assets before, with how they are served. */
  assets: { jwt: string | undefined; keep: boolean } | undefined;
}

/**
 * `before`: of the version that serves. Hearth's own settings go with the function, since wrangler's upload has no place
 * for them. Throws BAD_REQUEST; what a manifest may hold is checked where it is deployed.
 */
export async function readWorkerUpload(
  request: Request,
  before: Manifest | undefined,
  settings: Manifest['hearth'],
): Promise<WorkerUpload> {
  const type = request.headers.get('content-type') ?? '';
  if (!/^multipart\/form-data\b/i.test(type)) {
    throw new HearthError('BAD_REQUEST', 'A Worker is uploaded as multipart/form-data: metadata, then its modules.');
  }
  const form = await formOf(request);
  const metadata = await readMetadata(form);
  const { files, rules } = await readModules(form);
  const keeps = (kind: string) => metadata.keep_bindings.includes(kind);
  const translated = translateBindings(metadata.bindings, before, { text: keeps('plain_text'), json: keeps('json') });
  const { annotations, limits } = metadata;
  const tag = annotations?.['workers/tag'] ?? undefined;
  if (tag !== undefined && tag !== '' && !LABEL_PATTERN.test(tag)) {
    throw new HearthError('BAD_REQUEST', 'A tag has letters, digits, ".", "_", "+" and "-", at most 128 characters.');
  }
  // Kept, they are served as they were.
  const kept: Metadata['assets'] = metadata.keep_assets ? { config: { ...before?.assets } } : undefined;
  const assets = metadata.assets ?? kept;
  const value = {
    ...translated.manifest,
    ...mainOf(metadata, files),
    ...(rules.length === 0 ? {} : { rules }),
    ...(metadata.compatibility_date == null ? {} : { compatibility_date: metadata.compatibility_date }),
    compatibility_flags: metadata.compatibility_flags ?? [],
    ...(limits?.cpu_ms == null ? {} : { limits: { cpu_ms: limits.cpu_ms } }),
    ...(assets === undefined ? {} : { assets: assetKeys(assets.config ?? {}, translated.assets) }),
    ...refusedKeys(metadata),
  };
  return {
    upload: {
      files,
      manifest: { kind: 'value', value },
      settings,
      ...(tag === undefined || tag === '' ? {} : { label: tag }),
    },
    secrets: translated.secrets,
    assets: assets === undefined ? undefined : { jwt: assets.jwt, keep: metadata.keep_assets },
  };
}

async function readMetadata(form: FormData): Promise<Metadata> {
  const part = form.get('metadata');
  if (part === null) throw new HearthError('BAD_REQUEST', 'The upload has no part "metadata".');
  if (form.getAll('metadata').length > 1) throw new HearthError('BAD_REQUEST', 'The part "metadata" is given twice.');
  if ((typeof part === 'string' ? part.length : part.size) > MAX_METADATA_BYTES) {
    throw new HearthError('PAYLOAD_TOO_LARGE', 'The part "metadata" may have 1 MB.');
  }
  const text = typeof part === 'string' ? part : await part.text();
  if (isTooDeep(text)) throw tooDeep();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new HearthError('BAD_REQUEST', 'The part "metadata" is not JSON.', { cause: error });
  }
  const parsed = metadataSchema.safeParse(value);
  if (!parsed.success) throw invalidRequest('metadata', parsed.error);
  return parsed.data;
}

async function readModules(form: FormData): Promise<{ files: UploadFile[]; rules: unknown[] }> {
  const files: UploadFile[] = [];
  const rules: { type: string; globs: string[] }[] = [];
  for (const [name, value] of form) {
    if (name === 'metadata') continue;
    if (files.length >= MAX_DEPLOY_FILES) {
      throw new HearthError('PAYLOAD_TOO_LARGE', `The upload has more than ${MAX_DEPLOY_FILES} modules.`);
    }
    if (typeof value === 'string') {
      throw new HearthError('BAD_REQUEST', `The part ${JSON.stringify(name.slice(0, 100))} has no file name.`);
    }
    const path = value.name.replace(/^(\.\/)+/, '');
    const type = value.type.split(';', 1)[0]?.trim().toLowerCase() ?? '';
    const kind = KINDS[type];
    if (kind === undefined) {
      const why = type.includes('python') ? 'Hearth runs no Python' : 'which Hearth does not know';
      throw new HearthError('BAD_REQUEST', `The module ${JSON.stringify(path.slice(0, 100))} is ${type}: ${why}.`);
    }
    // It names sources that stay with whoever bundled them.
    if (kind === 'map') continue;
    files.push({ path, bytes: new Uint8Array(await value.arrayBuffer()) });
    if (kind !== 'json' && kind !== IMPLIED[path.slice(path.lastIndexOf('.') + 1)]) {
      rules.push({ type: kind === 'source' ? 'ESModule' : kind, globs: [path] });
    }
  }
  return { files, rules };
}

function mainOf({ main_module, body_part, assets }: Metadata, files: readonly UploadFile[]): { main?: string } {
  if (main_module !== undefined) return { main: main_module.replace(/^(\.\/)+/, '') };
  if (body_part !== undefined) {
    const message = 'This is a Worker in the service worker format; write it as a module: export default { fetch … }.';
    throw new HearthError('BAD_REQUEST', message);
  }
  if (assets != null && files.length === 0) return {};
  throw new HearthError('BAD_REQUEST', 'The metadata names no main_module.');
}

function assetKeys(config: Record<string, unknown>, binding: string | undefined): Record<string, unknown> {
  const { html_handling, not_found_handling, run_worker_first, base_path, _headers, _redirects } = config;
  const given = { binding, html_handling, not_found_handling, run_worker_first, base_path, _headers, _redirects };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined && value !== null));
}

/** Given on to the manifest, which says by name what Hearth does not do. */
function refusedKeys({ migrations, exports, tail_consumers, streaming_tail_consumers }: Metadata) {
  const filled = (list: readonly unknown[] | null | undefined) => (list?.length ?? 0) > 0;
  return {
    ...(migrations == null ? {} : { migrations }),
    ...(exports == null ? {} : { durable_objects: exports }),
    ...(filled(tail_consumers) ? { tail_consumers } : {}),
    ...(filled(streaming_tail_consumers) ? { streaming_tail_consumers } : {}),
  };
}
