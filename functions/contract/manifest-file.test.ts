import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HearthError, type SourceError } from './errors.ts';
import { parseManifest, parseManifestValue } from './manifest-file.ts';
import { UNSUPPORTED_BUILD_KEYS, UNSUPPORTED_FEATURES } from './manifest-keys.ts';

function errorsOf(run: () => unknown): SourceError[] {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof HearthError);
    assert.equal(error.code, 'MANIFEST_INVALID');
    assert.ok(error.errors !== undefined && error.errors.length > 0);
    return error.errors;
  }
  assert.fail('it was accepted');
}

describe('a manifest', () => {
  it('has every default when nothing is given', () => {
    const manifest = parseManifestValue({}, 'hello');
    assert.equal(manifest.name, 'hello');
    assert.deepEqual(manifest.hearth, {
      base: 'default',
      trustGroup: 'default',
      group: null,
      pool: 'default',
      timeoutMs: 30_000,
      memoryMb: 128,
      concurrency: 64,
      minInstances: 0,
      maxInstances: 16,
      reserved: 0,
      keepAlive: 'auto',
      publish: true,
      timezone: 'UTC',
      missed: 'once',
      overlap: 'skip',
      ready: null,
      network: null,
      auth: null,
    });
    assert.deepEqual(manifest.queues, { producers: [], consumers: [] });
    assert.deepEqual(manifest.limits, { cpu_ms: null });
  });

  it('carries the label of its version, where it has one', () => {
    assert.equal(parseManifestValue({ hearth: { label: '1.2.0-SNAPSHOT+7' } }).hearth.label, '1.2.0-SNAPSHOT+7');
    assert.ok(!('label' in parseManifestValue({}).hearth));
  });

  it('takes comments, trailing commas and a byte order mark', () => {
    const text = '\uFEFF{\n  // the name\n  "name": "shop", /* and */ "hearth": { "timeoutMs": 5000, },\n}';
    const manifest = parseManifest(text, 'hearth.jsonc');
    assert.equal(manifest.name, 'shop');
    assert.equal(manifest.hearth.timeoutMs, 5000);
  });

  it('gives queue consumers the defaults of Workers and a dead-letter queue', () => {
    const { queues } = parseManifestValue({ queues: { consumers: [{ queue: 'orders' }] } });
    assert.deepEqual(queues.consumers, [
      {
        queue: 'orders',
        max_batch_size: 10,
        max_batch_timeout: 5,
        max_retries: 3,
        dead_letter_queue: 'orders.dead',
        max_concurrency: null,
        retry_delay: 0,
      },
    ]);
  });

  it('lets a function consume a dead-letter queue', () => {
    const { queues } = parseManifestValue({ queues: { consumers: [{ queue: 'orders.dead' }] } });
    assert.equal(queues.consumers[0]?.dead_letter_queue, 'orders.dead.dead');
  });

  it('brings all forms of routes to one canonical form', () => {
    const { routes } = parseManifestValue({
      route: 'A.example/*',
      routes: [
        '*/shop/*',
        { pattern: 'b.example/x', zone_name: 'example' },
        { pattern: 'c.example', custom_domain: true },
      ],
    });
    assert.deepEqual(routes, ['a.example/*', '*/shop/*', 'b.example/x', 'c.example/*']);
  });

  it('keeps a cron as it was written beside the expression that is run', () => {
    const text = '{"triggers":{"crons":["0 9 * * 2-6"]}}';
    assert.deepEqual(parseManifest(text, 'wrangler.jsonc').triggers.crons, [
      { cron: '0 9 * * 2-6', expression: '0 9 * * 1-5' },
    ]);
    assert.deepEqual(parseManifest(text, 'hearth.jsonc').triggers.crons, [
      { cron: '0 9 * * 2-6', expression: '0 9 * * 2-6' },
    ]);
  });

  it('takes the name of the deploy over its own, and names KV namespaces without an id by it', () => {
    const manifest = parseManifest('{"name":"a","kv_namespaces":[{"binding":"KV"}]}', 'wrangler.json', 'b');
    assert.equal(manifest.name, 'b');
    assert.deepEqual(manifest.kv_namespaces, [{ binding: 'KV', id: 'b-KV' }]);
  });

  it('keeps JSON in vars as it is', () => {
    const { vars } = parseManifestValue({ vars: { LIMITS: { most: [1, null] }, HOST: 'x', N: 2 } });
    assert.deepEqual(vars, { LIMITS: { most: [1, null] }, HOST: 'x', N: 2 });
  });

  it('ignores what concerns only the tools around Workers', () => {
    const text =
      '{"$schema":"x","workers_dev":true,"observability":{"enabled":true},"env":{"dev":{"d1_databases":[]}}}';
    assert.equal(parseManifest(text, 'wrangler.jsonc').name, null);
  });

  it('reads a whole wrangler.toml', () => {
    const manifest = parseManifest(
      [
        'name = "orders"',
        'main = "src/index.ts"',
        'compatibility_date = "2026-01-31"',
        'compatibility_flags = ["nodejs_compat"]',
        '[vars]',
        'MODE = "live"',
        '[triggers]',
        'crons = ["*/5 * * * 1"]',
        '[[queues.producers]]',
        'binding = "OUT"',
        'queue = "orders"',
        'delivery_delay = 3',
        '[[queues.consumers]]',
        'queue = "orders"',
        'max_batch_timeout = 2',
        '[[kv_namespaces]]',
        'binding = "KV"',
        'id = "0f2a"',
        'preview_id = "0f2b"',
        '[[services]]',
        'binding = "MAIL"',
        'service = "mail"',
        'entrypoint = "Admin"',
        '[limits]',
        'cpu_ms = 50',
        '[hearth]',
        'concurrency = 1',
      ].join('\n'),
      'wrangler.toml',
    );
    assert.equal(manifest.main, 'src/index.ts');
    assert.equal(manifest.compatibility_date, '2026-01-31');
    assert.deepEqual(manifest.triggers.crons, [{ cron: '*/5 * * * 1', expression: '*/5 * * * 0' }]);
    assert.deepEqual(manifest.queues.producers, [{ binding: 'OUT', queue: 'orders', delivery_delay: 3 }]);
    assert.equal(manifest.queues.consumers[0]?.max_batch_timeout, 2);
    assert.deepEqual(manifest.services, [{ binding: 'MAIL', service: 'mail', entrypoint: 'Admin' }]);
    assert.equal(manifest.limits.cpu_ms, 50);
    assert.equal(manifest.hearth.concurrency, 1);
  });
});

describe('a manifest that is not valid', () => {
  it('is refused with line and column of the unknown key', () => {
    const [error] = errorsOf(() => parseManifest('{\n  "name": "a",\n  "nmae": 1\n}', 'hearth.jsonc'));
    assert.deepEqual(error, {
      message: '"nmae" is not a key of the manifest.',
      file: 'hearth.jsonc',
      line: 3,
      column: 3,
      path: 'nmae',
    });
  });

  it('is refused with line and column of the wrong value', () => {
    const [error] = errorsOf(() => parseManifest('{\n  "hearth": {\n    "timeoutMs": "5s" }\n}', 'hearth.jsonc'));
    assert.equal(error?.path, 'hearth.timeoutMs');
    assert.deepEqual([error?.line, error?.column], [3, 18]);
  });

  it('names the object that lacks a key', () => {
    const [error] = errorsOf(() => parseManifest('{\n "services": [\n  {"binding": "A"}]\n}', 'hearth.jsonc'));
    assert.equal(error?.path, 'services.0.service');
    assert.deepEqual([error?.line, error?.column], [3, 3]);
  });

  it('tells several faults at once', () => {
    const errors = errorsOf(() =>
      parseManifestValue({ name: 'No', routes: ['x:1/'], hearth: { network: 'some', foo: 1 }, kv_namespaces: [{}] }),
    );
    assert.deepEqual(errors.map((error) => error.path).sort(), [
      'hearth.foo',
      'hearth.network',
      'kv_namespaces.0.binding',
      'name',
      'routes.0',
    ]);
  });

  it('is refused by line and column when it is no JSON', () => {
    const [error] = errorsOf(() => parseManifest('{\n  "name": "a"\n  "main": "b"\n}', 'hearth.jsonc'));
    assert.deepEqual([error?.message, error?.line, error?.column], ['hearth.jsonc is not JSON: comma expected.', 3, 3]);
    assert.match(errorsOf(() => parseManifest('', 'hearth.jsonc'))[0]?.message ?? '', /hearth\.jsonc/);
    assert.match(errorsOf(() => parseManifest('[]', 'hearth.jsonc'))[0]?.message ?? '', /expected object/);
  });

  it('is refused by line and column when it is no TOML', () => {
    const [error] = errorsOf(() => parseManifest('name = "a"\nmain = \n', 'wrangler.toml'));
    assert.equal(error?.file, 'wrangler.toml');
    assert.equal(error?.line, 2);
    assert.ok((error?.column ?? 0) >= 1);
  });

  it('is refused by line and column when TOML holds a wrong value or an unknown key', () => {
    const errors = errorsOf(() => parseManifest('[limits]\ncpu_ms = "many"\n\n[[d1_databases]]\n', 'wrangler.toml'));
    assert.deepEqual(
      errors.map(({ path, line, column }) => [path, line, column]),
      [
        ['limits.cpu_ms', 2, 10],
        ['d1_databases', 4, 3],
      ],
    );
  });

  for (const key of [...Object.keys(UNSUPPORTED_FEATURES), ...UNSUPPORTED_BUILD_KEYS]) {
    it(`is refused by name when it uses ${key}`, () => {
      const [error] = errorsOf(() => parseManifest(JSON.stringify({ [key]: [] }), 'wrangler.jsonc'));
      assert.match(error?.message ?? '', new RegExp(`^"${key}".*Hearth does not`));
    });
  }

  it('says which cron is never due, and which is none', () => {
    const errors = errorsOf(() =>
      parseManifest('{"triggers":{"crons":["* * * * *",\n"0 0 30 2 *", "x"]}}', 'hearth.jsonc'),
    );
    assert.deepEqual(
      errors.map((error) => [error.path, error.line]),
      [
        ['triggers.crons.1', 2],
        ['triggers.crons.2', 2],
      ],
    );
    assert.match(errors[0]?.message ?? '', /never due/);
  });

  it('is refused when two bindings have one name', () => {
    const errors = errorsOf(() =>
      parseManifestValue({
        vars: { A: '1' },
        kv_namespaces: [{ binding: 'A' }],
        services: [{ binding: 'A', service: 's' }],
      }),
    );
    assert.deepEqual(
      errors.map((error) => error.path),
      ['kv_namespaces.0.binding', 'services.0.binding'],
    );
  });

  for (const [what, value] of [
    ['a binding called BASE', { kv_namespaces: [{ binding: 'BASE', id: 'x' }] }],
    ['a variable called BASE', { vars: { BASE: 'x' } }],
    ['a pull consumer', { queues: { consumers: [{ queue: 'q', type: 'http_pull' }] } }],
    ['a queue consumed twice', { queues: { consumers: [{ queue: 'q' }, { queue: 'q' }] } }],
    ['a queue that is its own dead-letter queue', { queues: { consumers: [{ queue: 'q', dead_letter_queue: 'q' }] } }],
    ['more instances at least than at most', { hearth: { minInstances: 17 } }],
    ['more reserved than can run', { hearth: { concurrency: 1, maxInstances: 2, reserved: 3 } }],
    ['an unknown time zone', { hearth: { timezone: 'Mars/Olympus' } }],
    ['a keepAlive below zero', { hearth: { keepAlive: -1 } }],
    ['a label with a space', { hearth: { label: 'one two' } }],
    ['an empty label', { hearth: { label: '' } }],
    ['both kinds of auth at once', { hearth: { auth: { bearer: 'A', jwks: 'https://x', audience: 'y' } } }],
    ['a ready path that is no path', { hearth: { ready: 'healthz' } }],
    ['a batch of none', { queues: { consumers: [{ queue: 'q', max_batch_size: 0 }] } }],
    ['a fraction of an instance', { hearth: { maxInstances: 1.5 } }],
    ['a string', 'name'],
    ['null', null],
  ] as const) {
    it(`is refused for ${what}`, () => {
      const errors = errorsOf(() => parseManifestValue(value));
      assert.ok(errors.every((error) => error.message.length > 10));
    });
  }

  it('is refused for a key given twice, and for __proto__ wherever it stands', () => {
    const twice = errorsOf(() => parseManifest('{"name":"a",\n"name":"b"}', 'hearth.jsonc'));
    assert.deepEqual(twice, [{ message: '"name" is given twice.', file: 'hearth.jsonc', line: 2, column: 1 }]);
    const proto = '{"vars":{"__proto__":{"x":1}}}';
    assert.match(errorsOf(() => parseManifest(proto, 'hearth.jsonc'))[0]?.message ?? '', /__proto__/);
    assert.match(errorsOf(() => parseManifestValue(JSON.parse(proto)))[0]?.message ?? '', /__proto__/);
    assert.match(
      errorsOf(() => parseManifest('[vars.__proto__]\nx = 1', 'wrangler.toml'))[0]?.message ?? '',
      /__proto__/,
    );
  });

  it('is refused, not overflowed, when it is nested without end', () => {
    const deep = (levels: number) => `{"vars":{"A":${'['.repeat(levels)}${']'.repeat(levels)}}}`;
    for (const levels of [100, 100_000]) {
      assert.match(errorsOf(() => parseManifest(deep(levels), 'hearth.jsonc'))[0]?.message ?? '', /deeper/i);
    }
    assert.match(errorsOf(() => parseManifestValue(JSON.parse(deep(5000))))[0]?.message ?? '', /deeper/i);
    assert.doesNotThrow(() => parseManifest(`{"vars":{"A":"${'['.repeat(500)}"}}`, 'hearth.jsonc'));
  });
});
