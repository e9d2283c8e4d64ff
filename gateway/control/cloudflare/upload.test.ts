import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HearthError } from '../../../functions/contract/errors.ts';
import { manifestSchema } from '../../../functions/contract/manifest.ts';
import { readWorkerUpload } from './upload.ts';

const SETTINGS = manifestSchema.parse({}).hearth;
const MODULE = { path: 'index.js', type: 'application/javascript+module', content: 'export default {}' };

interface Part {
  path: string;
  type: string;
  content: string | Uint8Array<ArrayBuffer>;
}

function upload(metadata: unknown, parts: Part[] = [MODULE]): Request {
  const form = new FormData();
  if (metadata !== undefined) form.set('metadata', typeof metadata === 'string' ? metadata : JSON.stringify(metadata));
  for (const { path, type, content } of parts) form.append(path, new File([content], path, { type }));
  return new Request('http://x/', { method: 'POST', body: form });
}

function read(request: Request, before = manifestSchema.parse({})) {
  return readWorkerUpload(request, before, SETTINGS);
}

describe('the upload of a Worker', () => {
  it('is a deploy: modules are its files, bindings its manifest, secrets are kept apart', async () => {
    const bindings = [
      { type: 'plain_text', name: 'WORD', text: 'a' },
      { type: 'json', name: 'LIST', json: [1] },
      { type: 'secret_text', name: 'KEY', text: 'hidden' },
      { type: 'kv_namespace', name: 'KV', namespace_id: 'id' },
      { type: 'queue', name: 'OUT', queue_name: 'mails' },
      {
        type: 'service',
        name: 'OTHER',
        service: 'other',
        entrypoint: 'Api',
        props: { a: 1 },
        environment: 'production',
      },
    ];
    const metadata = { main_module: './index.js', bindings, annotations: { 'workers/tag': 'v1' }, tags: ['x'] };
    const { upload: given, secrets } = await read(upload(metadata));
    assert.deepEqual({ ...secrets }, { KEY: 'hidden' });
    assert.equal(given.label, 'v1');
    assert.deepEqual(
      given.files.map(({ path }) => path),
      ['index.js'],
    );
    assert.equal(given.manifest.kind, 'value');
    const { value } = given.manifest as { value: Record<string, unknown> };
    assert.deepEqual(JSON.parse(JSON.stringify(value)), {
      vars: { WORD: 'a', LIST: [1] },
      kv_namespaces: [{ binding: 'KV', id: 'id' }],
      queues: { producers: [{ binding: 'OUT', queue: 'mails', delivery_delay: 0 }] },
      services: [{ binding: 'OTHER', service: 'other', entrypoint: 'Api', props: { a: 1 } }],
      main: 'index.js',
      compatibility_flags: [],
    });
  });

  it('keeps what it inherits, and the variables it says it keeps', async () => {
    const before = manifestSchema.parse({
      vars: { TEXT: 'a', JSON: [1] },
      kv_namespaces: [{ binding: 'KV', id: 'id' }],
      services: [{ binding: 'OTHER', service: 'other' }],
    });
    const bindings = [
      { type: 'inherit', name: 'KV' },
      { type: 'inherit', name: 'SECRET' },
    ];
    const metadata = { main_module: 'index.js', bindings, keep_bindings: ['plain_text', 'secret_text'] };
    const { upload: given } = await read(upload(metadata), before);
    const { value } = given.manifest as { value: { vars: object; kv_namespaces: object[]; services: object[] } };
    assert.deepEqual(
      [{ ...value.vars }, value.kv_namespaces, value.services],
      [{ TEXT: 'a' }, [{ binding: 'KV', id: 'id' }], []],
    );
  });

  it('says by a rule what a module is whose name does not tell', async () => {
    const parts = [
      MODULE,
      { path: './a1-note.md', type: 'text/plain', content: 'note' },
      { path: 'b.txt', type: 'text/plain', content: 'text' },
      { path: 'c.wasm', type: 'application/wasm', content: 'x' },
      { path: 'd.dat', type: 'application/octet-stream', content: 'x' },
      { path: 'index.js.map', type: 'application/source-map', content: '{}' },
    ];
    const { upload: given } = await read(upload({ main_module: 'index.js' }, parts));
    const { value } = given.manifest as { value: { rules: unknown } };
    assert.deepEqual(value.rules, [
      { type: 'Text', globs: ['a1-note.md'] },
      { type: 'Data', globs: ['d.dat'] },
    ]);
    assert.deepEqual(
      given.files.map(({ path }) => path),
      ['index.js', 'a1-note.md', 'b.txt', 'c.wasm', 'd.dat'],
    );
  });

  const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`;
  for (const [what, request, says] of [
    ['no multipart', () => new Request('http://x/', { method: 'PUT', body: '{}' }), /multipart\/form-data/],
    [
      'a boundary that never comes',
      () =>
        new Request('http://x/', {
          method: 'PUT',
          headers: { 'content-type': 'multipart/form-data; boundary=a' },
          body: 'x',
        }),
      /malformed/,
    ],
    ['no metadata', () => upload(undefined), /no part "metadata"/],
    ['metadata that is no JSON', () => upload('{'), /not JSON/],
    [
      'metadata nested without an end',
      () => upload(`{"main_module":"index.js","bindings":${deep}}`),
      /more than 1000 arrays/,
    ],
    ['metadata over a megabyte', () => upload(JSON.stringify({ main_module: 'x'.repeat(1024 * 1024) })), /1 MB/],
    ['metadata that is a list', () => upload([]), /metadata/],
    ['no main module', () => upload({}), /main_module/],
    ['the service worker format', () => upload({ body_part: 'script' }), /export default/],
    ['a binding without a name', () => upload({ main_module: 'index.js', bindings: [{ type: 'plain_text' }] }), /name/],
    [
      'a binding nobody knows',
      () => upload({ main_module: 'index.js', bindings: [{ type: 'nobody', name: 'A' }] }),
      /"nobody"/,
    ],
    [
      'a binding of the wrong kind',
      () => upload({ main_module: 'index.js', bindings: [{ type: 'kv_namespace', name: 'A', namespace_id: 1 }] }),
      /namespace_id/,
    ],
    [
      'a part without a file name',
      () => {
        const form = new FormData();
        form.set('metadata', '{"main_module":"index.js"}');
        form.set('index.js', 'text');
        return new Request('http://x/', { method: 'PUT', body: form });
      },
      /no file name/,
    ],
    [
      'a module of Python',
      () => upload({ main_module: 'a.py' }, [{ path: 'a.py', type: 'text/x-python', content: '' }]),
      /no Python/,
    ],
    [
      'a module of no known type',
      () => upload({ main_module: 'a' }, [{ path: 'a', type: 'image/png', content: '' }]),
      /does not know/,
    ],
    [
      'a tag that is no label',
      () => upload({ main_module: 'index.js', annotations: { 'workers/tag': 'a b' } }),
      /A tag has/,
    ],
  ] as const) {
    it(`is refused with a sentence: ${what}`, async () => {
      await assert.rejects(read(request()), (error) => {
        assert.ok(
          error instanceof HearthError && ['BAD_REQUEST', 'PAYLOAD_TOO_LARGE'].includes(error.code),
          String(error),
        );
        assert.match(error.message, says);
        return true;
      });
    });
  }

  it('never sets a prototype by a name', async () => {
    const bindings = [
      { type: 'plain_text', name: '__proto__', text: 'a' },
      { type: 'secret_text', name: '__proto__', text: 'b' },
    ];
    const { secrets, upload: given } = await read(upload({ main_module: 'index.js', bindings }));
    assert.equal(({} as Record<string, unknown>).a, undefined);
    assert.deepEqual(Object.keys(secrets), ['__proto__']);
    assert.deepEqual(Object.keys((given.manifest as { value: { vars: object } }).value.vars), ['__proto__']);
  });
});
