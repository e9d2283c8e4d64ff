/** Operating Hearth by the page: signing in, logs, what failed, crons, dead letters, tokens, and a gateway that is gone. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { startGateway, type TestGateway } from '../testing/gateway.ts';
import { CHROMIUM_MISSING, startBrowser } from './testing/browser.ts';
import { visit } from './testing/visit.ts';

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
      assert.equal(await page.evaluate('document.activeElement.tagName'), 'H1');
      assert.equal(await page.evaluate('document.cookie'), '');
      assert.equal(await page.evaluate('Object.values(localStorage).join()'), '');
      assert.deepEqual(await page.context().cookies(), []);
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByLabel('Token').waitFor();
      assert.equal(await page.evaluate('document.activeElement.id'), 'token');
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

  test('a gateway that is gone is told as such', async () => {
    await visit(browser, gateway, { path: '/functions', expected: /Failed to load|ERR_/ }, async (page) => {
      await gateway.kill9();
      await page.getByRole('alert').getByText('NO_ANSWER').waitFor();
      await page.getByRole('heading', { name: 'Functions', level: 1 }).waitFor();
    });
  });
});
