/** What a person does with the page: signs in, deploys, calls, moves traffic and takes it back, publishes, redrives. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { startGateway, type TestGateway } from '../testing/gateway.ts';
import { CHROMIUM_MISSING, startBrowser } from './testing/browser.ts';
import { loaded, visit } from './testing/visit.ts';

/** Fails until it is told otherwise, so that its first delivery is a dead letter and its second is not. */
const CONSUMER = `
let broken = true;
export default {
  fetch() { broken = false; return new Response('mended'); },
  queue() { if (broken) throw new Error('not yet'); },
  scheduled() {},
};`;

describe('with the dashboard', { skip: CHROMIUM_MISSING, timeout: 120_000 }, () => {
  let gateway: TestGateway;
  let browser: Browser;
  before(async () => {
    [gateway, browser] = await Promise.all([startGateway(), startBrowser()]);
  });
  after(async () => {
    await browser?.close();
    await gateway?.[Symbol.asyncDispose]();
  });

  const answerOf = async (path: string) => (await fetch(`${gateway.url}${path}`)).text();

  test('a wrong token is refused with its code, a right one signs in, and it is kept nowhere but in this tab', async () => {
    await visit(browser, gateway, { token: null, path: '/pool', expected: /Failed to load.* 401/ }, async (page) => {
      await page.getByLabel('Token').fill('no such token');
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.getByRole('alert').getByText('A token has letters').waitFor();
      await page.getByLabel('Token').fill('wrong');
      await page.keyboard.press('Enter');
      await page.getByRole('alert').getByText('UNAUTHORIZED').waitFor();
      await page.getByRole('alert').getByText('The bearer token is not known, or was revoked.').waitFor();
      await page.getByLabel('Token').fill(gateway.token);
      await page.keyboard.press('Enter');
      await page.getByRole('heading', { name: 'Pool', level: 1 }).waitFor();
      assert.equal(await page.evaluate('document.cookie'), '');
      assert.equal(await page.evaluate('Object.values(localStorage).join()'), '');
      assert.deepEqual(await page.context().cookies(), []);
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByLabel('Token').waitFor();
      assert.equal(await page.evaluate('sessionStorage.length'), 0);
    });
  });

  test('a token that is revoked meanwhile is asked for again', async () => {
    const { body } = await gateway.api<{ token: string; id: string }>('POST', '/v1/tokens', { scopes: ['read'] });
    await visit(
      browser,
      gateway,
      { token: body.token, path: '/pool', expected: /Failed to load.* 401/ },
      async (page) => {
        await gateway.api('DELETE', `/v1/tokens/${body.id}`);
        await page.getByRole('alert').getByText('sign in again').waitFor();
        await page.getByLabel('Token').waitFor();
      },
    );
  });

  test('a function is deployed, called, given a second version, and rolled back', async () => {
    await visit(browser, gateway, { path: '/deploy', expected: /Failed to load.* 422/ }, async (page) => {
      await page.getByLabel('Name').fill('greeter');
      await page.getByLabel('Source').fill('export default { fetch: () => new Response("one" };');
      await page.getByRole('button', { name: 'Deploy' }).click();
      await page.getByRole('alert').getByText('BUILD_FAILED').waitFor();
      await page
        .getByRole('alert')
        .getByText(/index\.ts:1:\d+/)
        .waitFor();

      await page.getByLabel('Source').fill('export default { fetch: () => new Response("one") };');
      await page.getByRole('button', { name: 'Deploy' }).click();
      await page.getByRole('heading', { name: 'It serves' }).waitFor();
      assert.equal(await page.getByRole('alert').locator('p').count(), 0);
      assert.equal(await answerOf('/greeter'), 'one');

      await page.locator('#main').getByRole('link', { name: 'greeter', exact: true }).click();
      await page.getByRole('link', { name: 'Invoke', exact: true }).click();
      await invoke(page);
      assert.equal(await page.getByRole('region', { name: 'Body' }).textContent(), 'one');

      await page.getByRole('link', { name: 'Versions', exact: true }).click();
      await page.getByRole('link', { name: 'Deploy a new version' }).click();
      await page.getByLabel('Source').fill('export default { fetch: () => new Response("two") };');
      await page.getByRole('button', { name: 'Deploy' }).click();
      await page.getByRole('heading', { name: 'It serves' }).waitFor();
      assert.equal(await answerOf('/greeter'), 'two');

      await page.goto(`${gateway.adminUrl}/#/functions/greeter/versions`);
      await page.getByRole('button', { name: /^Roll back to / }).click();
      await page.getByRole('status').getByText('Back to the traffic before').waitFor();
      assert.equal(await answerOf('/greeter'), 'one');
    });
  });

  test('files are deployed with the manifest among them, and every trigger is made by hand', async () => {
    const source = `import { WorkerEntrypoint } from 'hearth';
      export default class extends WorkerEntrypoint {
        add(a, b) { return a + b; }
        scheduled() {}
        queue(batch) { for (const message of batch.messages) message.retry(); }
      }`;
    const file = (name: string, text: string) => ({ name, mimeType: 'text/plain', buffer: Buffer.from(text) });
    await visit(browser, gateway, { path: '/deploy' }, async (page) => {
      await page.getByLabel('Name').fill('many');
      await page
        .getByLabel('Files instead')
        .setInputFiles([
          file('hearth.jsonc', '{ "main": "entry.ts", "triggers": { "crons": ["0 0 1 1 *"] } }'),
          file('entry.ts', source),
        ]);
      await page.getByRole('button', { name: 'Deploy' }).click();
      await page.getByRole('heading', { name: 'It serves' }).waitFor();

      await page.goto(`${gateway.adminUrl}/#/functions/many/invoke`);
      await page.getByLabel('Trigger').selectOption('RPC call');
      await page.getByLabel('Method').fill('add');
      await page.getByLabel('Arguments').fill('[1, 2');
      await page.getByRole('button', { name: 'Invoke' }).click();
      await page.getByRole('alert').getByText('The arguments: no JSON').waitFor();
      await page.getByLabel('Arguments').fill('[1, 2]');
      await invoke(page);
      assert.equal(await page.getByRole('region', { name: 'Result' }).textContent(), '3');

      await page.getByLabel('Trigger').selectOption('Cron tick');
      assert.equal(await page.getByLabel('Cron', { exact: true }).inputValue(), '0 0 1 1 *');
      await invoke(page);

      await page.getByLabel('Trigger').selectOption('Queue message');
      await page.getByLabel('Queue', { exact: true }).fill('any');
      await invoke(page);
      await page.getByText(': retry').waitFor();
    });
  });

  test('traffic is shared by sliders, also by keyboard, and set when that is said', async () => {
    const first = await gateway.deploy('shared', 'export default { fetch: () => new Response("a") }');
    const second = await gateway.deploy('shared', 'export default { fetch: () => new Response("b") }');
    const split = async () => {
      const { body } = await gateway.api<{ traffic: { split: { version: string; percent: number }[] } }>(
        'GET',
        '/v1/functions/shared/traffic',
      );
      return body.traffic.split.map(({ version, percent }) => [version, percent]);
    };
    await visit(browser, gateway, { path: '/functions/shared/versions' }, async (page) => {
      await page.getByRole('button', { name: `Give traffic to version ${first.version.slice(0, 8)}` }).click();
      const slider = page.getByRole('slider', { name: first.version.slice(0, 8) });
      await slider.focus();
      for (let n = 0; n < 3; n++) await page.keyboard.press('ArrowRight');
      await page.locator('output', { hasText: '97 %' }).waitFor();
      assert.deepEqual(await split(), [[second.version, 100]]);
      await slider.fill('30');
      await page.getByRole('button', { name: 'Set this traffic' }).click();
      await page.getByRole('status').getByText('The traffic is set').waitFor();
      assert.deepEqual(await split(), [
        [second.version, 70],
        [first.version, 30],
      ]);
      await slider.fill('100');
      await page.getByRole('button', { name: 'Set this traffic' }).click();
      await page.locator('.slider').nth(1).waitFor({ state: 'detached' });
      assert.deepEqual(await split(), [[first.version, 100]]);
      assert.equal(await answerOf('/shared'), 'a');
    });
  });

  test('a rollout is begun, confirmed step by step, and is over', async () => {
    await gateway.deploy('stepped', 'export default { fetch: () => new Response("a") }');
    const next = await gateway.deploy('stepped', 'export default { fetch: () => new Response("b") }', {
      query: 'activate=false',
    });
    await visit(browser, gateway, { path: '/functions/stepped/versions' }, async (page) => {
      await page.getByText('Roll out step by step').click();
      await page.getByLabel('Version', { exact: true }).selectOption(next.version);
      await page.getByLabel('Steps', { exact: true }).fill('20, 100');
      await page.getByLabel('Seconds a step').fill('0');
      await page.getByLabel('Wait for a confirmation after each step').check();
      await page.getByRole('button', { name: 'Begin the rollout' }).click();
      await page.getByText('step 1 of 2').waitFor();
      assert.equal(await page.locator('.steps [aria-current=step]').textContent(), '20 %');
      await page.getByRole('button', { name: 'Next step now' }).click();
      await page.getByText('step 2 of 2').waitFor();
      await page.getByRole('button', { name: 'Next step now' }).click();
      await page.locator('.unmarked').getByText('completed').waitFor();
      assert.equal(await answerOf('/stepped'), 'b');
    });
  });

  test('a function is unpublished and published elsewhere, and stays deployed', async () => {
    await gateway.deploy('shown', 'export default { fetch: () => new Response("here") }');
    await visit(browser, gateway, { path: '/functions/shown/versions' }, async (page) => {
      await page.getByRole('button', { name: 'Unpublish shown' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Unpublish' }).click();
      await page.getByText('Nobody reaches it: it is not published.').waitFor();
      assert.match(await answerOf('/shown'), /NO_ROUTE/);
      await page.getByText('Publish', { exact: true }).first().click();
      await page.getByLabel('Routes').fill('*/elsewhere/*');
      await page.getByRole('button', { name: 'Publish', exact: true }).click();
      await page.getByRole('cell').getByText('*/elsewhere/*').waitFor();
      assert.equal(await answerOf('/elsewhere/x'), 'here');
    });
  });

  test('lines of the log are followed as they come, found, and held', async () => {
    await gateway.deploy(
      'talker',
      'export default { fetch: (request) => { const { pathname } = new URL(request.url); console.log("said", pathname); if (pathname === "/warn") console.warn("careful"); return new Response("ok"); } }',
    );
    await answerOf('/talker/before');
    await visit(browser, gateway, { path: '/functions/talker/logs' }, async (page) => {
      const log = page.getByRole('log');
      await log.getByText('said /before').waitFor();
      await answerOf('/talker/now');
      await log.getByText('said /now').waitFor();
      assert.equal(await log.getByText('said /before').count(), 1);
      await answerOf('/talker/warn');
      await log.getByText('careful').waitFor();
      await page.getByLabel('Level').selectOption('warn');
      await log.getByText('said /now').waitFor({ state: 'detached' });
      await page.getByLabel('Level').selectOption('all');
      await page.getByLabel('Contains').fill('before');
      await log.getByText('careful').waitFor({ state: 'detached' });
      await page.getByLabel('Contains').fill('');

      await page.getByRole('button', { name: 'Pause' }).click();
      await page.getByRole('status').getByText('paused').waitFor();
      await answerOf('/talker/held');
      await page.getByRole('button', { name: 'Pause', pressed: true }).click();
      await log.getByText('said /held').waitFor();
    });
  });

  test('an invocation that fails is told with its code, and is found among the recent ones', async () => {
    await gateway.deploy('failing', 'export default { fetch: () => { throw new Error("on purpose"); } }');
    await visit(
      browser,
      gateway,
      { path: '/functions/failing/invoke', expected: /Failed to load.* 500/ },
      async (page) => {
        await page.getByRole('button', { name: 'Invoke' }).click();
        await page.getByRole('alert').getByText('FUNCTION_EXCEPTION').waitFor();
        await page.getByRole('button', { name: 'Dismiss' }).click();
        await page.getByRole('alert').getByText('FUNCTION_EXCEPTION').waitFor({ state: 'detached' });
        await page.getByRole('link', { name: 'Overview' }).click();
        await page.getByLabel('Show').selectOption('Failed');
        await page.getByRole('button', { name: /^More about/ }).click();
        await page.locator('.waterfall').getByRole('rowheader', { name: 'run' }).waitFor();
        await page.getByRole('link', { name: 'Lines of this invocation' }).click();
        await page.getByRole('log').getByText('on purpose').waitFor();
      },
    );
  });

  test('a cron is paused and goes on, and a dead letter is redriven', async () => {
    const manifest = {
      triggers: { crons: ['0 0 1 1 *'] },
      queues: { consumers: [{ queue: 'tasks', max_retries: 0, max_batch_timeout: 0 }] },
    };
    await gateway.deploy('consumer', CONSUMER, { manifest });
    await visit(browser, gateway, { path: '/triggers' }, async (page) => {
      await page.getByRole('button', { name: 'Pause 0 0 1 1 * of consumer' }).click();
      await page.getByRole('button', { name: 'Resume 0 0 1 1 * of consumer' }).click();
      await page.getByRole('button', { name: 'Pause 0 0 1 1 * of consumer' }).waitFor();

      await page.getByText('Send a message').click();
      await page.getByLabel('Queue', { exact: true }).selectOption('tasks');
      await page.getByLabel('Body').fill('{"task": 1}');
      await page.getByRole('button', { name: 'Send', exact: true }).click();
      await page.getByRole('button', { name: 'Dead letters of tasks', exact: true }).click();
      await page.getByText('{"task":1}').waitFor();
      assert.equal(await answerOf('/consumer'), 'mended');
      await page.getByRole('button', { name: 'Redrive all' }).click();
      await page.getByText('None. What fails once comes here.').waitFor();
      await page.getByRole('button', { name: 'Purge tasks', exact: true }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Purge' }).click();
      await page.getByRole('status').getByText('tasks is empty').waitFor();
    });
  });

  test('a token is made, shown once, used, and revoked; the audit says so', async () => {
    await visit(browser, gateway, { path: '/access' }, async (page) => {
      await page.getByText('Make a token').click();
      await page.getByLabel('Scopes').fill('read deploy:shop-*');
      await page.getByRole('button', { name: 'Make it' }).click();
      const token = await page.getByLabel('The new token, shown this once').inputValue();
      const asks = () => fetch(`${gateway.adminUrl}/v1/functions`, { headers: { authorization: `Bearer ${token}` } });
      assert.equal((await asks()).status, 200);
      await page
        .getByRole('row', { name: 'deploy:shop-*' })
        .getByRole('button', { name: /^Revoke/ })
        .first()
        .click();
      await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
      await page.getByRole('status').getByText('The token is revoked').waitFor();
      assert.equal((await asks()).status, 401);
      await page.getByRole('cell', { name: 'token.revoke' }).first().waitFor();
    });
  });

  test('a function is deleted once that was confirmed', async () => {
    await gateway.deploy('leaving', 'export default { fetch: () => new Response("here") }');
    await visit(browser, gateway, { path: '/functions/leaving/versions' }, async (page) => {
      await page.getByRole('button', { name: 'Delete the function' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
      await page.getByRole('heading', { name: 'Functions', level: 1 }).waitFor();
      await loaded(page);
      assert.equal(await page.getByRole('link', { name: 'leaving' }).count(), 0);
      assert.match(await answerOf('/leaving'), /NO_ROUTE/);
    });
  });

  test('a gateway that is gone is told as such', async () => {
    await visit(browser, gateway, { path: '/functions', expected: /Failed to load|ERR_/ }, async (page) => {
      await gateway.kill9();
      await page.getByRole('alert').getByText('NO_ANSWER').waitFor();
      await page.getByRole('heading', { name: 'Functions', level: 1 }).waitFor();
    });
  });
});

async function invoke(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Invoke' }).click();
  await page.getByRole('heading', { name: 'Answer' }).waitFor();
}
