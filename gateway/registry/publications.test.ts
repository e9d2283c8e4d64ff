import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import type { HeaderList } from '../../functions/contract/invocation.ts';
import type { ManifestInput } from '../../functions/contract/manifest.ts';
import { type PublicationSettings, publicationSchema } from '../../functions/contract/publication.ts';
import { createSeal, keyFromText } from '../store/seal.ts';
import { openSqliteStore } from '../store/sqlite/client.ts';
import type { Store } from '../store/store.ts';
import { createRegistry } from './memory.ts';
import type { Registry } from './registry.ts';
import { artifactOf, versionRecord } from './testing/records.ts';
import type { Ask } from './traffic.ts';

interface Bench {
  store: Store;
  registry: Registry;
  /** Closes the store and starts again on the same data. */
  restart(): Promise<Bench>;
}

const seal = createSeal([keyFromText('a'.repeat(64))]);
const log = { debug: () => undefined, warn: () => undefined, error: () => undefined };

function test(sentence: string, body: (bench: Bench) => Promise<void>): void {
  it(sentence, async () => {
    const dir = await mkdtemp(join(tmpdir(), 'hearth-publications-'));
    let store: Store | undefined;
    async function start(): Promise<Bench> {
      await store?.close();
      store = await openSqliteStore({ path: join(dir, 'hearth.db'), log });
      const cacheKeyOf = () => 'key';
      const registry = await createRegistry({ store, seal, defaults: { network: 'all' }, log, cacheKeyOf });
      return { store, registry, restart: start };
    }
    try {
      await body(await start());
    } finally {
      await store?.close();
      await rm(dir, { recursive: true, force: true });
    }
  });
}

async function deploy(registry: Registry, name: string, manifest: ManifestInput = {}, version = 'v1', activate = true) {
  await registry.addVersion(versionRecord(name, version, { manifest }), artifactOf(`${name} ${version}`), activate);
}

function publish(registry: Registry, name: string, settings: Partial<Record<keyof PublicationSettings, unknown>>) {
  return registry.putPublication(name, publicationSchema.parse(settings));
}

/** Who answers a GET of this URL: name and prefix, `-` for none. */
function who(registry: Registry, url: string, tag?: string): string {
  const { hostname, pathname, search: query } = new URL(`http://${url}`);
  const headers: HeaderList = tag === undefined ? [] : [['x-hearth-tag', tag]];
  const match = registry.route(hostname, pathname, { headers, query });
  return match === undefined
    ? '-'
    : `${match.entry.record.name}${match.prefix === null ? '' : ` less ${match.prefix}`}`;
}

const crons = (registry: Registry, name: string) => registry.crons(name).map(({ cron }) => cron);
const queues = (registry: Registry, name: string) => registry.queues(name).map(({ queue }) => queue);

const withCode =
  (code: string, pattern = /./) =>
  (error: unknown) =>
    error instanceof HearthError && error.code === code && pattern.test(error.message);

const FULL = {
  routes: ['shop.test/*'],
  triggers: { crons: ['0 * * * *'] },
  queues: { consumers: [{ queue: 'orders', max_batch_size: 3 }] },
} satisfies ManifestInput;
const HIDDEN = { ...FULL, hearth: { publish: false } } satisfies ManifestInput;

describe('a function that its manifest does not publish', () => {
  test('is there, and nothing reaches it', async ({ registry }) => {
    await deploy(registry, 'shop', HIDDEN);
    assert.equal(registry.function('shop')?.active?.version, 'v1');
    assert.deepEqual(
      [who(registry, 'x/shop'), who(registry, 'shop.localhost/'), who(registry, 'shop.test/')],
      ['-', '-', '-'],
    );
    assert.equal(registry.consumer('orders'), undefined);
    assert.deepEqual([crons(registry, 'shop'), queues(registry, 'shop')], [[], []]);
    assert.deepEqual(registry.publicationsOf('shop'), []);
    assert.equal(registry.isPublished('shop'), false);
    assert.equal(registry.isOpen('shop'), false);
  });

  test('is reached as its manifest says once it is published without more words, and after a restart', async ({
    registry,
    restart,
  }) => {
    await deploy(registry, 'shop', HIDDEN);
    await publish(registry, 'shop', { function: 'shop' });
    for (const each of [registry, (await restart()).registry]) {
      assert.deepEqual([who(each, 'x/shop/1'), who(each, 'shop.test/1')], ['shop less /shop', 'shop']);
      assert.equal(each.consumer('orders')?.record.name, 'shop');
      assert.deepEqual(crons(each, 'shop'), ['0 * * * *']);
      assert.deepEqual(
        each.queues('shop').map(({ max_batch_size }) => max_batch_size),
        [3],
      );
      assert.deepEqual([each.isPublished('shop'), each.isOpen('shop')], [true, true]);
    }
  });

  test('is open to methods from other trust groups only where one of its publications says so', async ({
    registry,
  }) => {
    await deploy(registry, 'shop');
    const open = () => [registry.isOpen('shop'), registry.isOpen('shop', 'methods')];
    assert.deepEqual(open(), [true, false], 'as its manifest has it');
    await publish(registry, 'shop', { function: 'shop' });
    assert.deepEqual(open(), [true, false]);
    await publish(registry, 'for-others', { function: 'shop', routes: [], rpc: 'methods' });
    assert.deepEqual(open(), [true, true]);
    await registry.deletePublication('for-others');
    assert.deepEqual(open(), [true, false]);
  });

  test('is reached by the routes, crons and queues that are given, and by no other', async ({ registry }) => {
    await deploy(registry, 'shop', HIDDEN);
    const settings = {
      function: 'shop',
      routes: ['/s/*', 'S.test'],
      crons: ['5 5 * * *'],
      queues: ['other'],
      rpc: false,
    };
    await publish(registry, 'web', settings);
    assert.deepEqual([who(registry, 'x/s/1'), who(registry, 's.test/')], ['shop', 'shop']);
    assert.deepEqual(
      ['x/shop', 'x/web', 'web.localhost/', 'shop.test/'].map((url) => who(registry, url)),
      ['-', '-', '-', '-'],
    );
    assert.deepEqual(crons(registry, 'shop'), ['5 5 * * *']);
    assert.equal(registry.consumer('orders'), undefined);
    assert.equal(registry.consumer('other')?.record.name, 'shop');
    const [consumer] = registry.queues('shop');
    assert.deepEqual([consumer?.max_batch_size, consumer?.dead_letter_queue], [10, 'other.dead']);
    assert.equal(registry.isOpen('shop'), false);
    const [shown] = registry.publicationsOf('shop');
    assert.deepEqual(shown?.routes, ['*/s/*', 's.test']);
    assert.deepEqual([shown?.byName, shown?.implied], [false, false]);
  });

  test('is taken back with what was published, in the moment of its deletion', async ({ registry, restart }) => {
    await deploy(registry, 'shop', HIDDEN);
    await publish(registry, 'web', { function: 'shop' });
    const heard: string[] = [];
    registry.onChange((name) =>
      heard.push(`${name}: ${who(registry, 'x/web')} ${registry.consumer('orders')?.record.name}`),
    );
    assert.equal(await registry.deletePublication('web'), 'shop');
    assert.deepEqual(heard, ['shop: - undefined']);
    assert.deepEqual(crons(registry, 'shop'), []);
    assert.equal(await registry.deletePublication('web'), undefined);
    assert.equal(await registry.deletePublication('shop'), undefined);
    assert.equal(who((await restart()).registry, 'x/web'), '-');
  });
});

describe('what a manifest publishes', () => {
  test('is shown as a publication of the function, and can be taken back and given again', async ({
    registry,
    restart,
  }) => {
    await deploy(registry, 'shop', FULL);
    const [shown] = registry.publicationsOf('shop');
    assert.deepEqual(
      [shown?.name, shown?.implied, shown?.byName, shown?.routes],
      ['shop', true, true, ['shop.test/*']],
    );

    assert.equal(await registry.deletePublication('shop'), 'shop');
    assert.equal(await registry.deletePublication('shop'), undefined);
    let now = (await restart()).registry;
    assert.deepEqual([who(now, 'x/shop'), who(now, 'shop.test/'), now.consumer('orders')], ['-', '-', undefined]);
    await deploy(now, 'shop', { ...FULL, vars: { A: 'b' } }, 'v2');
    assert.equal(who(now, 'x/shop'), '-', 'a deploy does not publish what was taken back');

    await publish(now, 'shop', { function: 'shop' });
    now = (await restart()).registry;
    assert.deepEqual([who(now, 'x/shop'), who(now, 'shop.test/')], ['shop less /shop', 'shop']);
    assert.equal(now.consumer('orders')?.record.name, 'shop');
  });

  test('is replaced by a publication of its name', async ({ registry }) => {
    await deploy(registry, 'shop', FULL);
    await publish(registry, 'shop', { function: 'shop', routes: ['/new/*'], crons: [] });
    assert.deepEqual(
      [who(registry, 'x/shop'), who(registry, 'shop.test/'), who(registry, 'x/new/')],
      ['-', '-', 'shop'],
    );
    assert.deepEqual([crons(registry, 'shop'), queues(registry, 'shop')], [[], ['orders']]);
    assert.equal(await registry.deletePublication('shop'), 'shop');
    assert.deepEqual([who(registry, 'x/shop'), who(registry, 'x/new/')], ['-', '-'], 'unpublished is unpublished');
  });

  test('changes with the version that takes traffic; what a publication names itself does not', async ({
    registry,
  }) => {
    await deploy(registry, 'shop', HIDDEN);
    await publish(registry, 'web', { function: 'shop' });
    await publish(registry, 'own', { function: 'shop', routes: ['/own/*'], crons: [], queues: [] });
    await deploy(registry, 'shop', { routes: ['new.test/*'], hearth: { publish: false } }, 'v2');
    assert.deepEqual(
      ['shop.test/', 'new.test/', 'x/own/1', 'x/web'].map((url) => who(registry, url)),
      ['-', 'shop', 'shop', 'shop less /web'],
    );
    assert.equal(registry.route('x', '/own/1')?.entry.active?.version, 'v2');
    assert.deepEqual([crons(registry, 'shop'), queues(registry, 'shop')], [[], []]);
    await registry.rollback('shop');
    assert.deepEqual([who(registry, 'shop.test/'), who(registry, 'new.test/')], ['shop', '-']);
  });

  test('goes with the function, as do its publications', async ({ registry, restart }) => {
    await deploy(registry, 'shop', FULL);
    await publish(registry, 'web', { function: 'shop', routes: ['/w/*'] });
    await registry.deletePublication('shop');
    await registry.deleteFunction('shop');
    assert.deepEqual([registry.publication('web'), who(registry, 'x/w/')], [undefined, '-']);
    const again = (await restart()).registry;
    await deploy(again, 'shop', FULL);
    assert.deepEqual(
      [who(again, 'x/shop'), who(again, 'x/w/')],
      ['shop less /shop', '-'],
      'a new one of that name is new',
    );
  });
});

describe('several publications of one function', () => {
  test('give it each cron and queue once, as long as one of them names it', async ({ registry }) => {
    await deploy(registry, 'shop', FULL);
    await publish(registry, 'web', { function: 'shop', routes: ['/w/*'] });
    await publish(registry, 'more', { function: 'shop', routes: [], crons: ['0 * * * *', '1 * * * *'], queues: ['b'] });
    assert.deepEqual(crons(registry, 'shop'), ['0 * * * *', '1 * * * *']);
    assert.deepEqual(queues(registry, 'shop'), ['orders', 'b']);
    await registry.deletePublication('shop');
    await registry.deletePublication('web');
    assert.deepEqual([crons(registry, 'shop'), queues(registry, 'shop')], [['0 * * * *', '1 * * * *'], ['b']]);
    await registry.deletePublication('more');
    assert.deepEqual([crons(registry, 'shop'), queues(registry, 'shop')], [[], []]);
  });

  test('of two functions may hold one route under two tags; a request without them goes to the untagged one', async ({
    registry,
    restart,
  }) => {
    await deploy(registry, 'shop', { routes: ['shop.test/*'] });
    await deploy(registry, 'campaign', { hearth: { publish: false } });
    await publish(registry, 'spring', { function: 'campaign', routes: ['shop.test/*'], tag: 'spring' });
    for (const each of [registry, (await restart()).registry]) {
      assert.deepEqual(
        [who(each, 'shop.test/1'), who(each, 'shop.test/1', 'spring'), who(each, 'shop.test/1', 'autumn')],
        ['shop', 'campaign', 'shop'],
      );
      assert.equal(who(each, 'shop.test/1?hearth-tag=spring'), 'campaign');
    }
  });

  test('move to another function in one moment', async ({ registry }) => {
    await deploy(registry, 'a', { hearth: { publish: false } });
    await deploy(registry, 'b', { hearth: { publish: false } });
    await publish(registry, 'web', { function: 'a', routes: ['/w/*'], queues: ['q'] });
    const heard: string[] = [];
    registry.onChange((name) => heard.push(`${name}: ${who(registry, 'x/w/')} ${registry.consumer('q')?.record.name}`));
    const { createdAt } = await publish(registry, 'web', { function: 'b', routes: ['/w/*'], queues: ['q'] });
    assert.deepEqual(heard, ['a: b b', 'b: b b']);
    assert.equal(registry.publication('web')?.createdAt, createdAt);
    assert.deepEqual(registry.publicationsOf('a'), []);
    assert.deepEqual([queues(registry, 'a'), queues(registry, 'b')], [[], ['q']]);
  });
});

describe('what belongs to another function', () => {
  test('is not published again, and the refusal names it', async ({ registry }) => {
    await deploy(registry, 'shop', FULL);
    await deploy(registry, 'cart', { hearth: { publish: false } });
    await publish(registry, 'web', { function: 'shop', routes: ['/w/*'], crons: [], queues: [], tag: 'beta' });
    const put = (name: string, settings: object) => publish(registry, name, { function: 'cart', ...settings });
    await assert.rejects(put('x', { routes: ['shop.test/*'] }), withCode('CONFLICT', /shop\.test\/\*.* function shop/));
    await assert.rejects(put('x', { routes: ['/w/*'], tag: 'beta' }), withCode('CONFLICT', /tag beta.*shop.*web/));
    await assert.rejects(put('x', { queues: ['orders'] }), withCode('CONFLICT', /queue orders.*shop/));
    await assert.rejects(put('shop', {}), withCode('CONFLICT', /shop is the name of a function/));
    await assert.rejects(publish(registry, 'x', { function: 'none' }), withCode('NOT_FOUND', /none/));
    assert.equal(registry.publication('x'), undefined);
    await put('x', { routes: ['/w/*'], tag: 'other' });
    assert.equal(who(registry, 'x/w/', 'other'), 'cart');
  });

  test('keeps a deploy out, too, and leaves everything as it was', async ({ registry }) => {
    await deploy(registry, 'shop', { hearth: { publish: false } });
    await publish(registry, 'web', { function: 'shop', routes: ['r.test/*'], queues: ['q'] });
    const consumer = { queues: { consumers: [{ queue: 'q' }] } };
    await assert.rejects(
      deploy(registry, 'cart', { routes: ['r.test/*'] }),
      withCode('CONFLICT', /r\.test.*shop.*web/),
    );
    await assert.rejects(deploy(registry, 'cart', consumer), withCode('CONFLICT', /queue q.*shop/));
    await assert.rejects(deploy(registry, 'web'), withCode('CONFLICT', /publication of the function shop/));
    assert.equal(registry.function('cart'), undefined);
    assert.equal(who(registry, 'r.test/'), 'shop');
  });

  test('holds for what a publication follows of its manifest', async ({ registry }) => {
    await deploy(registry, 'shop', FULL);
    await deploy(registry, 'cart', { hearth: { publish: false } });
    await publish(registry, 'web', { function: 'cart' });
    const taking = { routes: ['shop.test/*'], hearth: { publish: false } };
    await assert.rejects(deploy(registry, 'cart', taking, 'v2'), withCode('CONFLICT', /shop\.test/));
    assert.equal(registry.function('cart')?.active?.version, 'v1');
  });

  test('are queues of another trust group, whoever comes first', async ({ registry }) => {
    const other = { hearth: { trustGroup: 'other', publish: false } };
    await deploy(registry, 'shop', { queues: { producers: [{ binding: 'Q', queue: 'orders' }] } });
    await deploy(registry, 'spy', other);
    const spying = publish(registry, 'spy', { function: 'spy', queues: ['orders'] });
    await assert.rejects(spying, withCode('CONFLICT', /orders belongs to the trust group default/));
    await publish(registry, 'spy', { function: 'spy', queues: ['mine'] });
    const sending = deploy(registry, 'late', { queues: { producers: [{ binding: 'Q', queue: 'mine' }] } });
    await assert.rejects(sending, withCode('CONFLICT', /mine belongs to the trust group other/));
  });
});

describe('splits', () => {
  const asking = (headers: Record<string, string> = {}): Ask => ({
    header: (name) => headers[name] ?? null,
    cookie: () => null,
    query: () => null,
    json: () => undefined,
  });

  function served(registry: Registry, headers: Record<string, string> = {}) {
    const list = Object.entries(headers).map(([name, value]): [string, string] => [name, value]);
    const request = { headers: list, query: '' };
    const match = registry.route('x', '/w/1', request);
    const version = match?.entry.active;
    assert.ok(match !== undefined && version !== undefined);
    return match.splits?.of(version, asking(headers), request) ?? version;
  }

  const SPLITS = [
    { name: 'partner', when: { header: { 'X-From': 'partner' } }, maxInstances: 2, concurrency: 1 },
    { name: 'big', tag: 'big' },
  ];

  test('serve what matches with a spec and limits of their own, the same object each time', async ({ registry }) => {
    await deploy(registry, 'shop', { hearth: { minInstances: 1, maxInstances: 4, reserved: 2, concurrency: 8 } });
    await publish(registry, 'web', { function: 'shop', routes: ['/w/*'], splits: SPLITS });
    const whole = registry.function('shop')?.active;
    assert.equal(served(registry), whole);
    assert.equal(served(registry, { 'x-from': 'others' }), whole);

    const partner = served(registry, { 'x-from': 'partner' });
    assert.equal(partner.spec.key, 'shop@v1+0/web/partner');
    assert.equal(partner.key, partner.spec.key);
    assert.deepEqual([partner.functionName, partner.version, partner.manifest], ['shop', 'v1', whole?.manifest]);
    const { maxInstances, concurrency, minInstances, reserved } = partner.spec.limits;
    assert.deepEqual(
      { maxInstances, concurrency, minInstances, reserved },
      {
        maxInstances: 2,
        concurrency: 1,
        minInstances: 0,
        reserved: 0,
      },
    );
    assert.equal(served(registry, { 'x-from': 'partner' }).spec, partner.spec);
    assert.equal(served(registry, { 'x-from': 'partner', 'x-hearth-tag': 'big' }).spec, partner.spec, 'the first wins');
    const big = served(registry, { 'x-hearth-tag': 'big' });
    assert.deepEqual([big.spec.key, big.spec.limits.maxInstances], ['shop@v1+0/web/big', 4]);
  });

  test('get a new spec with a new version or a new secret, and stay as they are while others change', async ({
    registry,
    store,
  }) => {
    await deploy(registry, 'shop');
    await publish(registry, 'web', { function: 'shop', routes: ['/w/*'], splits: SPLITS });
    const first = served(registry, { 'x-hearth-tag': 'big' });
    const { spec } = first;
    await publish(registry, 'web', { function: 'shop', routes: ['/w/*', '/v/*'], splits: SPLITS });
    assert.equal(served(registry, { 'x-hearth-tag': 'big' }), first);
    assert.equal(first.spec, spec);
    await store.secrets.put('shop', 'K', seal.seal('shop', 'K', 'secret'), 1);
    await registry.secretsChanged('shop');
    const second = served(registry, { 'x-hearth-tag': 'big' }).spec;
    assert.deepEqual([second.key, second.vars.K], ['shop@v1+1/web/big', 'secret']);
    await deploy(registry, 'shop', {}, 'v2');
    assert.equal(served(registry, { 'x-hearth-tag': 'big' }).spec.key, 'shop@v2+1/web/big');
  });
});

describe('settings of a publication', () => {
  const problemsOf = (input: object) => {
    const { error } = publicationSchema.safeParse({ function: 'f', ...input });
    return error?.issues.map(({ path }) => path.join('.')) ?? [];
  };

  for (const [what, input, paths] of [
    ['nothing more than a function', {}, []],
    ['a function that is no name', { function: 'F!' }, ['function']],
    ['a route with a scheme', { routes: ['ok.test/*', 'https://x.test/*'] }, ['routes.1']],
    ['a cron that is none', { crons: ['* * *'] }, ['crons.0']],
    ['a cron that is never due', { crons: ['0 0 31 2 *'] }, ['crons.0']],
    ['a queue that is no name', { queues: ['A'] }, ['queues.0']],
    ['a tag with a space', { tag: 'a b' }, ['tag']],
    ['an empty tag', { tag: '' }, ['tag']],
    ['a split that says nothing', { splits: [{ name: 'a' }] }, ['splits.0']],
    ['a split without instances', { splits: [{ name: 'a', tag: 'a', maxInstances: 0 }] }, ['splits.0.maxInstances']],
    [
      'two splits of one name',
      {
        splits: [
          { name: 'a', tag: 'a' },
          { name: 'a', tag: 'b' },
        ],
      },
      ['splits'],
    ],
    ['a key that is not known', { route: ['x.test/*'] }, ['']],
  ] as const) {
    it(`are ${paths.length === 0 ? 'taken' : 'refused'}: ${what}`, () => assert.deepEqual(problemsOf(input), paths));
  }
});
