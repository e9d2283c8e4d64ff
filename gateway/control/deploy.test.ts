/** Deploys, versions, secrets and what changes them at once, through the real process. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Deployed, startGateway, type TestGateway } from '../testing/gateway.ts';

const says = (text: string) => `export default { fetch: () => new Response(${JSON.stringify(text)}) }`;

describe('deploying', { timeout: 120_000 }, () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startGateway();
  });
  after(() => gateway[Symbol.asyncDispose]());

  const get = async (path: string) => (await fetch(`${gateway.url}${path}`)).text();
  const versionsOf = async (name: string) => {
    const { body } = await gateway.api<{ versions: { version: string; active: boolean }[] }>(
      'GET',
      `/v1/functions/${name}/versions`,
    );
    return body.versions;
  };

  test('answers as the contract says, once the version serves, and the first call is warm', async () => {
    const deployed = await gateway.deploy('first', says('one'));
    assert.deepEqual(Object.keys(deployed), ['name', 'version', 'state', 'url', 'sizeBytes', 'provided', 'timings']);
    assert.equal(deployed.url, `${gateway.url}/first`);
    assert.equal(deployed.state, 'active');
    assert.ok(deployed.sizeBytes > 0);
    assert.deepEqual(Object.keys(deployed.timings), ['buildMs', 'loadMs', 'probeMs', 'totalMs']);
    const response = await fetch(deployed.url);
    assert.equal(await response.text(), 'one');
    assert.equal(response.headers.get('hearth-start'), 'warm');
    assert.equal(response.headers.get('hearth-version'), deployed.version);
  });

  test('with keepAlive 0 keeps no instance: the first call is cold', async () => {
    await gateway.deploy('fleeting', says('gone'), { manifest: { hearth: { keepAlive: 0 } } });
    const response = await fetch(`${gateway.url}/fleeting`);
    assert.equal(await response.text(), 'gone');
    assert.equal(response.headers.get('hearth-start'), 'cold');
  });

  test('the three body forms, and a manifest given or in the tree, come to the same', async () => {
    const main =
      'import { word } from "./lib/word.ts"; export default { fetch: (r, env) => new Response(word + env.WHO) }';
    const word = 'export const word = "hi ";';
    const manifest = { main: 'src/main.ts', vars: { WHO: 'Ada' } };
    const files = { 'src/main.ts': main, 'src/lib/word.ts': word };

    await gateway.deploy('as-json', files, { manifest });
    await gateway.deploy('as-tree', { ...files, 'hearth.jsonc': JSON.stringify(manifest) });
    await gateway.deploy('as-wrangler', { ...files, 'wrangler.toml': 'main = "src/main.ts"\n[vars]\nWHO = "Ada"\n' });
    const form = new FormData();
    form.append('manifest', JSON.stringify(manifest));
    for (const [path, text] of Object.entries(files)) form.append('files', new Blob([text]), path);
    assert.equal((await gateway.api('PUT', '/v1/functions/as-form', form)).status, 201);
    for (const name of ['as-json', 'as-tree', 'as-wrangler', 'as-form'])
      assert.equal(await get(`/${name}`), 'hi Ada', name);

    const plain = await gateway.api(
      'PUT',
      '/v1/functions/as-js',
      'module.exports = { fetch: () => new Response("js") }',
      { 'content-type': 'application/javascript' },
    );
    assert.equal(plain.status, 201, JSON.stringify(plain.body));
    assert.equal(await get('/as-js'), 'js');
  });

  test('what the base provides is left out and named', async () => {
    const { provided } = await gateway.deploy(
      'honoed',
      'import { Hono } from "hono"; const app = new Hono(); app.get("/", (c) => c.text("hono")); export default app;',
    );
    assert.deepEqual(
      provided.map(({ library }) => library),
      ['hono'],
    );
    assert.equal(await get('/honoed'), 'hono');
  });

  test('the same content is the same version, and is not built again', async () => {
    const one = await gateway.deploy('same', says('a'));
    const two = await gateway.deploy('same', says('b'));
    const again = await gateway.deploy('same', says('a'));
    assert.notEqual(two.version, one.version);
    assert.equal(again.version, one.version);
    assert.equal(again.timings.buildMs, 0);
    assert.equal(again.state, 'active');
    assert.equal(await get('/same'), 'a');
    assert.equal((await versionsOf('same')).length, 2);
  });

  test('activate=false leaves traffic alone; rollback goes back; what serves, or a rollback leads to, cannot be removed', async () => {
    const one = await gateway.deploy('staged', says('one'));
    const two = await gateway.deploy('staged', says('two'), { query: 'activate=false' });
    assert.equal(two.state, 'inactive');
    assert.equal(await get('/staged'), 'one');
    await gateway.deploy('staged', says('two'));
    assert.equal(await get('/staged'), 'two');

    const back = await gateway.api<{ version: string }>('POST', '/v1/functions/staged/rollback');
    assert.equal(back.status, 200);
    assert.equal(back.body.version, one.version);
    assert.equal(await get('/staged'), 'one');
    const three = await gateway.deploy('staged', says('three'), { query: 'activate=false' });
    const remove = async (version: string) => {
      const path = `/v1/functions/staged/versions/${version}`;
      const { status, body } = await gateway.api<{ detail?: string }>('DELETE', path);
      return `${status} ${body.detail ?? ''}`;
    };
    assert.match(await remove(one.version), /^409 .*takes traffic; move the traffic first/);
    assert.match(await remove(two.version), /^409 .*A rollback of staged leads to version/);
    assert.equal(await remove(three.version), '204 ');
    assert.deepEqual(await versionsOf('staged').then((all) => all.map(({ version, active }) => [version, active])), [
      [two.version, false],
      [one.version, true],
    ]);
  });

  test('two deploys of one name at once both succeed, one after the other', async () => {
    const texts = ['x', 'y'];
    const deployed = await Promise.all(texts.map((text) => gateway.deploy('raced', says(text))));
    const active = (await versionsOf('raced')).find((version) => version.active)?.version;
    const winner = deployed.findIndex(({ version }) => version === active);
    assert.equal(await get('/raced'), texts[winner]);
    assert.equal((await versionsOf('raced')).length, 2);
  });

  test('fifty names at once all succeed', async () => {
    const names = Array.from({ length: 50 }, (_, i) => `many-${i}`);
    const deployed: Deployed[] = await Promise.all(names.map((name) => gateway.deploy(name, says(name))));
    assert.deepEqual(
      deployed.map(({ name }) => name),
      names,
    );
    assert.deepEqual(await Promise.all(names.map((name) => get(`/${name}`))), names);
    await Promise.all(names.map((name) => gateway.api('DELETE', `/v1/functions/${name}`)));
  });

  test('a deploy under load fails no request', async () => {
    await gateway.deploy('busy', says('0'));
    let stop = false;
    const seen = new Set<string>();
    const client = async () => {
      while (!stop) {
        const response = await fetch(`${gateway.url}/busy`);
        assert.equal(response.status, 200);
        seen.add(await response.text());
      }
    };
    const clients = [client(), client(), client(), client()];
    for (let i = 1; i <= 5; i++) await gateway.deploy('busy', says(String(i)));
    stop = true;
    await Promise.all(clients);
    assert.equal(await get('/busy'), '5');
    assert.ok([...seen].every((text) => /^[0-5]$/.test(text)));
  });

  test('a deleted function is gone, and its name is free again', async () => {
    await gateway.deploy('short-lived', says('here'));
    assert.equal((await gateway.api('DELETE', '/v1/functions/short-lived')).status, 204);
    assert.equal((await fetch(`${gateway.url}/short-lived`)).status, 404);
    assert.equal((await gateway.api('GET', '/v1/functions/short-lived')).status, 404);
    await gateway.deploy('short-lived', says('back'));
    assert.equal(await get('/short-lived'), 'back');
  });

  test('a secret reaches the next call, is never shown, and goes when it is removed', async () => {
    const source = 'export default { fetch: (r, env) => new Response(env.KEY + " " + process.env.KEY) }';
    await gateway.deploy('secretive', source);
    assert.equal(await get('/secretive'), 'undefined undefined');
    const path = '/v1/functions/secretive/secrets/KEY';
    assert.equal((await gateway.api('PUT', path, { value: 'hush-hush' })).status, 204);
    assert.equal(await get('/secretive'), 'hush-hush hush-hush');
    assert.equal((await gateway.api('PUT', path, { value: 'changed' })).status, 204);
    assert.equal(await get('/secretive'), 'changed changed');
    assert.deepEqual((await gateway.api('GET', '/v1/functions/secretive/secrets')).body, { secrets: [{ key: 'KEY' }] });
    assert.equal((await gateway.api('GET', path)).status, 405);
    assert.equal((await gateway.api('DELETE', path)).status, 204);
    assert.equal(await get('/secretive'), 'undefined undefined');
    const audit = JSON.stringify((await gateway.api('GET', '/v1/audit')).body);
    assert.ok(audit.includes('secret.set') && !audit.includes('hush-hush'));
    assert.ok(!gateway.output().includes('hush-hush'));
  });

  test('evict retires idle instances: the next call is cold, the one after warm', async () => {
    await gateway.deploy('evicted', says('x'));
    const { body } = await gateway.api<{ evicted: number }>('POST', '/v1/functions/evicted/evict');
    assert.ok(body.evicted >= 1);
    const starts = [];
    for (let i = 0; i < 2; i++) {
      const response = await fetch(`${gateway.url}/evicted`);
      await response.text();
      starts.push(response.headers.get('hearth-start'));
    }
    assert.deepEqual(starts, ['cold', 'warm']);
  });

  test('what was deployed, set and granted is there after a restart', async () => {
    await using before = await startGateway();
    await before.deploy('kept', 'export default { fetch: (r, env) => new Response(env.KEY), scheduled() {} }', {
      manifest: { triggers: { crons: ['0 3 * * *'] } },
    });
    await before.api('PUT', '/v1/functions/kept/secrets/KEY', { value: 'still here' });
    const token = (await before.api<{ token: string }>('POST', '/v1/tokens', { scopes: ['read'] })).body.token;
    assert.equal(await before.stop(), 0);

    await using again = await startGateway({ dataDir: before.dataDir });
    assert.equal(await (await fetch(`${again.url}/kept`)).text(), 'still here');
    const crons = await again.api<{ crons: { function: string; nextAt: string }[] }>('GET', '/v1/crons', undefined, {
      authorization: `Bearer ${token}`,
    });
    assert.equal(crons.status, 200);
    assert.deepEqual(
      crons.body.crons.map((cron) => [cron.function, cron.nextAt.slice(11, 19)]),
      [['kept', '03:00:00']],
    );
  });
});
