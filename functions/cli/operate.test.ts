/** What operators do: publish, secrets, tokens, pool, logs, crons and queues, against a real gateway. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startGateway, type TestGateway } from '../../gateway/testing/gateway.ts';
import { until } from '../examples/testing/until.ts';
import { hearthOf } from './testing/hearth.ts';

let gateway: TestGateway;
let cli: ReturnType<typeof hearthOf>;

before(async () => {
  gateway = await startGateway();
  cli = hearthOf(gateway, { cwd: gateway.dataDir });
});

after(async () => {
  await gateway?.[Symbol.asyncDispose]();
});

test('a function that its manifest does not publish is reached while it is published', async () => {
  const source = 'export default { fetch: (request) => new Response(new URL(request.url).pathname) };';
  await gateway.deploy('back', source, { manifest: { hearth: { publish: false } } });
  assert.equal((await fetch(`${gateway.url}/back`)).status, 404);

  const published = await cli.run('publish', 'front', '--function', 'back', '--route', '/shop/*', '--route', '/cart');
  assert.equal(published.code, 0, published.stderr);
  assert.match(published.stdout, /^function +back$/m);
  assert.equal(await (await fetch(`${gateway.url}/shop/tea`)).text(), '/shop/tea');
  assert.match((await cli.run('publish')).stdout, /^front +back +\S*\/shop\/\*, \S*\/cart +.*hand$/m);

  assert.equal((await cli.run('unpublish', 'front')).stdout, 'front is published no more\n');
  assert.equal((await fetch(`${gateway.url}/shop/tea`)).status, 404);
  const again = await cli.run('unpublish', 'front');
  assert.equal(again.code, 1);
  assert.match(again.stderr, /Nothing is published as "front"/);
});

test('a secret comes from stdin, reaches the function, and is shown by name only', async () => {
  await gateway.deploy('keeper', 'export default { fetch: (_, env) => new Response(env.API_KEY ?? "none") };');
  const set = await cli.with({ stdin: 's3cret value\n' }, 'secret', 'set', 'keeper', 'API_KEY');
  assert.deepEqual([set.code, set.stdout], [0, 'API_KEY of keeper is set\n'], set.stderr);
  assert.equal(await (await fetch(`${gateway.url}/keeper`)).text(), 's3cret value');
  assert.equal((await cli.run('secret', 'ls', 'keeper')).stdout, 'KEY\nAPI_KEY\n');
  assert.deepEqual(await cli.json('secret', 'rm', 'keeper', 'API_KEY'), {
    function: 'keeper',
    key: 'API_KEY',
    removed: true,
  });
  assert.equal(await (await fetch(`${gateway.url}/keeper`)).text(), 'none');
  assert.equal((await cli.run('secret', 'rm', 'keeper', 'API_KEY')).code, 1);
  assert.equal((await cli.with({ stdin: '\n' }, 'secret', 'set', 'keeper', 'API_KEY')).code, 2);
});

test('a token does what its scopes say until it is revoked', async () => {
  const { id, token } = await cli.json<{ id: string; token: string }>('token', 'create', 'deploy:shop-*', 'read');
  const env = { HEARTH_TOKEN: token };
  assert.equal((await cli.with({ env }, 'ls')).code, 0);
  const refused = await cli.with({ env }, 'token', 'ls');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /hearth token ls: Not allowed \(FORBIDDEN\)\n {2}This call needs the admin token/);
  const listed = await cli.run('token', 'ls');
  assert.match(listed.stdout, new RegExp(`^${id} +deploy:shop-\\*, read `, 'm'));
  assert.equal(listed.stdout.includes(token), false);
  assert.equal((await cli.run('token', 'rm', id)).code, 0);
  assert.match((await cli.with({ env }, 'ls')).stderr, /No valid token/);
  const wrong = await cli.run('token', 'create', 'everything');
  assert.equal(wrong.code, 1);
  assert.match(
    wrong.stderr,
    /hearth token create: Malformed request \(BAD_REQUEST\)\n {2}body\.scopes\.0: read, or enqueue:/,
  );
});

test('the pool is told as tables, and why each base is there', async () => {
  await gateway.deploy('pooled', 'export default { fetch: () => new Response("x") };');
  const { stdout } = await cli.run('pool');
  assert.match(stdout, /^POOL +WARM +LEASED/);
  assert.match(stdout, /^default +\d+ +\d+ +\d+ +256 +\d+ of \d+ MB/m);
  assert.match(stdout, /^host-\S+ +default +default .*pooled/m);
  const { events } = await cli.json<{ events: { what: string }[] }>('pool', 'events', '-n', '3');
  assert.equal(events.length, 3);
  assert.match((await cli.run('pool', 'events')).stdout, /^\S+ \S+ +leased +base +\S+ +pooled/m);
});

test('logs are printed, followed, and cannot steer the terminal', async () => {
  const source =
    'export default { fetch(request) { console.log("at", new URL(request.url).search, "\\u001b[2J"); return new Response("ok"); } };';
  await gateway.deploy('chatty', source);
  await fetch(`${gateway.url}/chatty?first`);
  const line = await until(async () => {
    const { lines } = await cli.json<{ lines: { message: string }[] }>('logs', 'chatty');
    return lines[0];
  }, 'the line');
  assert.equal(line.message, 'at ?first \u001b[2J');
  const printed = await cli.run('logs', 'chatty', '-n', '1');
  assert.match(printed.stdout, /^\S+Z {2}info {3}[0-9a-f]{12} {2}at \?first \\x1b\[2J\n$/);

  let later: Promise<Response> | undefined;
  const followed = await cli.with(
    {
      enough(stdout) {
        // The lines there are have come, so it follows: now for one more.
        later ??= fetch(`${gateway.url}/chatty?later`);
        return /\?later.*\n/.test(stdout);
      },
    },
    ...['logs', 'chatty', '-f', '--json'],
  );
  assert.equal((await later)?.status, 200);
  const all = followed.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).message as string);
  assert.ok(all.at(-1)?.startsWith('at ?later'));
  for (const args of [
    ['logs', 'nobody'],
    ['logs', 'nobody', '-f'],
  ]) {
    const none = await cli.run(...args);
    assert.equal(none.code, 1);
    assert.match(none.stderr, /hearth logs: Not found \(NOT_FOUND\)/);
  }
});

test('crons are listed, paused and resumed by their id', async () => {
  const { id } = await (async () => {
    await gateway.deploy('ticker', 'export default { scheduled() {} };', {
      manifest: { triggers: { crons: ['0 4 1 1 *'] } },
    });
    const { crons } = await cli.json<{ crons: { id: string; function: string }[] }>('cron');
    return crons.find((cron) => cron.function === 'ticker')!;
  })();
  assert.match((await cli.run('cron', 'ls')).stdout, /ticker +0 4 1 1 \* +UTC +\d{4}-01-01 04:00:00Z +- +-/);
  assert.match((await cli.run('cron', 'pause', id)).stdout, /ticker .* paused/);
  assert.equal((await cli.json<{ paused: boolean }>('cron', 'resume', id)).paused, false);
  const wrong = await cli.run('cron', 'pause', 'nobody');
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /There is no cron "nobody"/);
});

test('messages are sent, die, are looked at and brought back', async () => {
  const source = `export default { queue(batch) { for (const message of batch.messages) if (message.body.sku !== 'tea') throw new Error('no price'); } };`;
  await gateway.deploy('orders', source, {
    manifest: { queues: { consumers: [{ queue: 'orders', max_retries: 0, max_batch_timeout: 0 }] } },
  });
  const sent = await cli.json<{ ids: string[] }>('queue', 'send', 'orders', '{"sku":"unicorn"}', '--id', 'one');
  assert.deepEqual(sent.ids, ['one']);
  assert.equal(
    (await cli.run('queue', 'send', 'orders', '{"sku":"unicorn"}', '--id', 'one')).stdout,
    'one was taken before\n',
  );
  const dead = await until(async () => {
    const { messages } = await cli.json<{ messages: { id: string; body: unknown }[] }>('queue', 'dead', 'orders');
    return messages[0];
  }, 'the dead letter');
  assert.deepEqual([dead.id, dead.body], ['one', { sku: 'unicorn' }]);
  assert.match(
    (await cli.run('queue', 'dead', 'orders')).stdout,
    /^one +\S+ \S+ +1 +.*no price.* +\{"sku":"unicorn"\}$/m,
  );
  assert.match((await cli.run('queue')).stdout, /^orders +orders +0 +0 +0 +- +1 +delivers$/m);
  assert.equal((await cli.run('queue', 'redrive', 'orders', 'one')).stdout, '1 back in orders\n');

  const text = await cli.with({ stdin: 'not json' }, 'queue', 'send', 'notes', '@-', '--delay', '600');
  assert.match(text.stdout, /^sent \S+\n$/, text.stderr);
  assert.match((await cli.run('queue', 'ls')).stdout, /^notes +- +1 +1 +0 /m);
  const wrong = await cli.run('queue', 'dead', 'Not a queue');
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /hearth queue dead: Malformed request \(BAD_REQUEST\)\n {2}path\.name: a queue's name/);
});

test('a log that is followed ends with its gateway, 1', async () => {
  await gateway.deploy('last', 'export default { fetch() { console.log("here"); return new Response("ok"); } };');
  await fetch(`${gateway.url}/last`);
  let stopped: Promise<number | null> | undefined;
  const followed = await cli.with(
    {
      enough() {
        stopped ??= gateway.stop();
        return false;
      },
    },
    ...['logs', 'last', '--follow'],
  );
  assert.equal(await stopped, 0);
  assert.equal(followed.code, 1);
  assert.match(followed.stdout, / {2}here\n$/);
  assert.match(followed.stderr, /hearth logs: The gateway ended the stream/);
});
