/** The three body forms of a deploy, read into one: a tree of files, and the manifest where one was given beside it. */
import { HearthError } from '../../functions/contract/errors.ts';
import { MAX_DEPLOY_FILES } from '../../functions/contract/limits.ts';
import type { Manifest } from '../../functions/contract/manifest.ts';
import { isTooDeep } from '../../pool/link/json-depth.ts';
import type { AssetListing } from '../ingress/assets/listing.ts';
import { tooDeep } from './problems.ts';

export interface UploadFile {
  /** As the client wrote it; the builder's tree check has still to see it. */
  path: string;
  bytes: Uint8Array;
}

export interface Upload {
  files: UploadFile[];
  /** `text` has lines and columns for errors and a file name that tells its dialect. */
  manifest: { kind: 'none' } | { kind: 'value'; value: unknown } | { kind: 'text'; text: string; fileName: string };
  /** What whoever sends it calls this version; wins over the manifest's `hearth.label`. */
  label?: string;
  /** Static assets that are stored already, instead of those in the tree. */
  assets?: AssetListing;
  /** Hearth's own settings, of an upload whose form has no place for them; win over the manifest's. */
  settings?: Manifest['hearth'];
}

const SINGLE_FILES: Record<string, string> = {
  'text/typescript': 'index.ts',
  'application/typescript': 'index.ts',
  'text/tsx': 'index.tsx',
  'application/javascript': 'index.js',
  'text/javascript': 'index.js',
  'text/jsx': 'index.jsx',
};

const FORMS = 'text/typescript, application/javascript, multipart/form-data or application/json';

/** Throws BAD_REQUEST with what was expected. The body's size was checked before. */
export async function readUpload(request: Request): Promise<Upload> {
  const type = (request.headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  const single = SINGLE_FILES[type];
  if (single !== undefined) {
    const bytes = new Uint8Array(await request.arrayBuffer());
    if (bytes.byteLength === 0) throw new HearthError('BAD_REQUEST', 'The body is empty; it has to be the source.');
    return { files: [{ path: single, bytes }], manifest: { kind: 'none' } };
  }
  if (type === 'multipart/form-data') return readForm(request);
  if (type === 'application/json') return readJson(request);
  throw new HearthError(
    'BAD_REQUEST',
    type === ''
      ? `A deploy needs a content type: ${FORMS}.`
      : `A deploy does not take ${JSON.stringify(type)}; send ${FORMS}.`,
  );
}

/** Rejects with BAD_REQUEST. */
export async function formOf(request: Request): Promise<FormData> {
  try {
    return await request.formData();
  } catch (error) {
    throw new HearthError('BAD_REQUEST', 'The multipart body is malformed or its boundary is missing.', {
      cause: error,
    });
  }
}

async function readForm(request: Request): Promise<Upload> {
  const form = await formOf(request);
  const files: UploadFile[] = [];
  let manifest: Upload['manifest'] = { kind: 'none' };
  for (const [part, value] of form) {
    if (part === 'manifest') {
      if (manifest.kind !== 'none') throw new HearthError('BAD_REQUEST', 'The part "manifest" is given twice.');
      manifest =
        typeof value === 'string'
          ? { kind: 'text', text: value, fileName: 'hearth.jsonc' }
          : { kind: 'text', text: await value.text(), fileName: manifestName(value.name) };
    } else if (part === 'files') {
      if (typeof value === 'string') {
        throw new HearthError('BAD_REQUEST', 'A part "files" has no filename; its filename is the path in the tree.');
      }
      files.push({ path: value.name, bytes: new Uint8Array(await value.arrayBuffer()) });
    } else {
      throw new HearthError('BAD_REQUEST', `The part ${JSON.stringify(part)} is neither "manifest" nor "files".`);
    }
  }
  return checked({ files, manifest });
}

/** The dialect follows from the name; a part made by `-F manifest=@x.json` carries whatever name the file had. */
function manifestName(given: string): string {
  return /\.(toml|jsonc?)$/.test(given) ? given : 'hearth.jsonc';
}

async function readJson(request: Request): Promise<Upload> {
  let body: unknown;
  const text = await request.text();
  if (isTooDeep(text)) throw tooDeep();
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new HearthError('BAD_REQUEST', `The body is not JSON: ${(error as Error).message}.`, { cause: error });
  }
  if (!isRecord(body)) throw new HearthError('BAD_REQUEST', 'The body has to be an object {manifest, files}.');
  const extra = Object.keys(body).find((key) => key !== 'manifest' && key !== 'files');
  if (extra !== undefined) {
    throw new HearthError('BAD_REQUEST', `body.${extra}: no such key; the body is {manifest, files}.`);
  }
  const { manifest, files } = body;
  if (!isRecord(files)) {
    throw new HearthError('BAD_REQUEST', 'body.files: expected an object from path to text.');
  }
  const encoder = new TextEncoder();
  return checked({
    files: Object.entries(files).map(([path, text]) => {
      if (typeof text === 'string') return { path, bytes: encoder.encode(text) };
      throw new HearthError('BAD_REQUEST', `body.files[${JSON.stringify(path)}]: expected the file's text.`);
    }),
    manifest: manifest === undefined ? { kind: 'none' } : { kind: 'value', value: manifest },
  });
}

function checked(upload: Upload): Upload {
  if (upload.files.length === 0) throw new HearthError('BAD_REQUEST', 'The deploy holds no file.');
  if (upload.files.length > MAX_DEPLOY_FILES) {
    throw new HearthError(
      'PAYLOAD_TOO_LARGE',
      `The deploy holds ${upload.files.length} files; ${MAX_DEPLOY_FILES} are allowed. Leave node_modules out, or bundle before.`,
    );
  }
  return upload;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
