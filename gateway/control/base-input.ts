/** What `PUT /v1/bases/{name}` is given, in each of its forms, checked. */
import { z } from '@hono/zod-openapi';
import { HearthError } from '../../functions/contract/errors.ts';
import { isTooDeep } from '../../pool/link/json-depth.ts';
import { declaresBase } from '../bases/types.ts';
import type { BaseInput } from '../bases/wanted.ts';
import { treeOf } from './deploy-source.ts';
import { invalidRequest, tooDeep } from './problems.ts';
import { formOf, type UploadFile } from './upload.ts';

/**
 * A package, or a path in one, as it is imported. Nothing that leads elsewhere: what a base shares its hosts may read,
 * and it is loaded there.
 */
const specifier = z
  .string()
  .max(214)
  .regex(/^(@[\w.~-]+\/)?[\w.~-]+(\/[\w.~-]+)*$/, 'the name of an installed package, or a path it exports')
  .refine(
    (value) => !value.split('/').some((part) => /^\.+$/.test(part)),
    'a path in a package has no "." and ".." in it',
  );

const shared = z.union(
  [specifier.transform((name) => ({ as: name, from: name })), z.strictObject({ as: specifier, from: specifier })],
  { error: 'an import specifier, or { "as": the specifier modules import, "from": the one it is installed under }' },
);

/** Those that are Hearth's own stay with the gateway: its keys, its stores, where its telemetry goes. */
const OWN_VARIABLES = /^(HEARTH_|OTEL_|NODE_)|^REDIS_URL$/;

const variable = z
  .string()
  .regex(/^[A-Za-z_]\w*$/, 'the name of an environment variable')
  .refine((name) => !OWN_VARIABLES.test(name), 'a variable of Hearth itself, which no base gets over the API');

const types = z
  .string()
  .max(256 * 1024)
  .refine(declaresBase, 'declarations with `export interface Base`, the type of env.BASE');

const setup = z.union(
  [
    z.string().min(1),
    z.strictObject({ path: z.string().min(1) }),
    z.strictObject({ main: z.string().min(1).optional(), files: z.record(z.string(), z.string()).optional() }),
  ],
  { error: 'the source as text, { "main", "files": { path: text } }, or { "path" } of the configuration file' },
);

const inputSchema = z
  .strictObject({
    shared: z.array(shared).max(500).optional(),
    setup: setup.nullable().optional().describe('Module whose default export makes env.BASE; null: none'),
    env: z.array(variable).max(200).optional().describe("Variables of the gateway's environment that setup sees"),
    warm: z.int().min(0).max(1000).nullable().optional().describe('Warm bases at least; null: HEARTH_WARM_BASES'),
    types: types.nullable().optional(),
  })
  .describe('What is absent stays as it is; of a new base it is empty');

/** For the description of the API. */
export function inputJsonSchema(): object {
  const { $schema: _dialect, ...schema } = z.toJSONSchema(inputSchema, { io: 'input' });
  return schema;
}

const SETUP_FILES: Record<string, string> = {
  'text/typescript': 'setup.ts',
  'application/typescript': 'setup.ts',
  'application/javascript': 'setup.js',
  'text/javascript': 'setup.js',
};

/** Throws BAD_REQUEST with what was expected. The body's size was checked before. */
export async function readBaseInput(request: Request): Promise<BaseInput> {
  const type = (request.headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  const single = SETUP_FILES[type];
  if (single !== undefined) {
    const bytes = new Uint8Array(await request.arrayBuffer());
    if (bytes.byteLength === 0) throw new HearthError('BAD_REQUEST', 'The body is empty; it has to be the setup.');
    return { setup: source([{ path: single, bytes }], single) };
  }
  if (type === 'multipart/form-data') return readForm(request);
  if (type === 'application/json') return inputOf(await jsonOf(request), []);
  const given =
    type === '' ? 'A definition needs a content type' : `A definition does not take ${JSON.stringify(type)}`;
  throw new HearthError('BAD_REQUEST', `${given}: application/json, multipart/form-data or text/typescript.`);
}

async function readForm(request: Request): Promise<BaseInput> {
  const form = await formOf(request);
  const files: UploadFile[] = [];
  let definition: unknown = {};
  for (const [part, value] of form) {
    if (part === 'definition') definition = parse(typeof value === 'string' ? value : await value.text());
    else if (part === 'files' && typeof value !== 'string') {
      files.push({ path: value.name, bytes: new Uint8Array(await value.arrayBuffer()) });
    } else {
      throw new HearthError(
        'BAD_REQUEST',
        `The part ${JSON.stringify(part)} is neither "definition" nor a file of "files", whose filename is its path.`,
      );
    }
  }
  return inputOf(definition, files);
}

async function jsonOf(request: Request): Promise<unknown> {
  return parse(await request.text());
}

function parse(text: string): unknown {
  if (isTooDeep(text)) throw tooDeep();
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new HearthError('BAD_REQUEST', `The definition is not JSON: ${(error as Error).message}.`, { cause: error });
  }
}

function inputOf(value: unknown, uploaded: UploadFile[]): BaseInput {
  const checked = inputSchema.safeParse(value);
  if (!checked.success) throw invalidRequest('json', checked.error);
  const { setup, ...rest } = checked.data;
  if (setup === null) return { ...rest, setup: null };
  if (typeof setup === 'object' && 'path' in setup) return { ...rest, setup: { kind: 'path', path: setup.path } };
  const text = (path: string, content: string): UploadFile => ({ path, bytes: new TextEncoder().encode(content) });
  if (typeof setup === 'string') return { ...rest, setup: source([text('setup.ts', setup), ...uploaded], 'setup.ts') };
  const inline = Object.entries(setup?.files ?? {}).map(([path, content]) => text(path, content));
  const files = [...inline, ...uploaded];
  if (files.length > 0) return { ...rest, setup: source(files, setup?.main ?? mainOf(files)) };
  if (setup === undefined) return rest;
  throw new HearthError('BAD_REQUEST', 'setup: there are no files; give them beside "main", or as parts "files".');
}

function mainOf(files: UploadFile[]): string {
  const [only, ...others] = files;
  if (only !== undefined && others.length === 0) return only.path.replace(/^(\.\/)+/, '');
  throw new HearthError('BAD_REQUEST', 'setup.main: several files were given; say which of them is the setup.');
}

function source(files: UploadFile[], main: string): NonNullable<BaseInput['setup']> {
  return { kind: 'source', files: treeOf({ files, manifest: { kind: 'none' } }), main };
}
