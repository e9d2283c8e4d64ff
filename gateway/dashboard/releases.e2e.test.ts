/** How a function comes to be served, by the page: deployed, called, shared out, rolled out, published, taken back, deleted. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { startGateway, type TestGateway } from '../testing/gateway.ts';
import { CHROMIUM_MISSING, startBrowser } from './testing/browser.ts';
import { loaded, visit } from './testing/visit.ts';

describe('by the dashboard', { skip: CHROMIUM_MISSING, timeout: 120_000 }, () => {
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
});

async function invoke(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Invoke' }).click();
  await page.getByRole('heading', { name: 'Answer' }).waitFor();
}
