/** Every view in a real browser, in both schemes: that it shows what there is, to everybody, whatever it holds. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { startGateway, type TestGateway } from '../testing/gateway.ts';
import { CHROMIUM_MISSING, startBrowser } from './testing/browser.ts';
import { axeViolations, loaded, open, type Visit, visit } from './testing/visit.ts';

const HOSTILE = '<img src=x onerror=alert(1)> \u202egnp.exe \u001b[31m \u200b\u0000 {{7*7}}</script>';
/** As it is to be read. */
const SHOWN = '<img src=x onerror=alert(1)> \\u202egnp.exe \\x1b[31m \\u200b\\x00 {{7*7}}</script>';

const SHOP = `
export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === '/log') console.log(await request.text());
    if (pathname === '/boom') throw new Error('out of stock');
    return new Response('served ' + pathname);
  },
  scheduled() {},
  queue(batch) { throw new Error('cannot take ' + JSON.stringify(batch.messages[0].body)); },
};`;
const MANIFEST = {
  triggers: { crons: ['0 0 1 1 *'] },
  queues: { consumers: [{ queue: 'baskets', max_retries: 0, max_batch_timeout: 0 }] },
};

const VIEWS = [
  { path: '/functions', name: 'functions', shows: 'shop' },
  { path: '/functions/shop', name: 'a function', shows: 'FUNCTION_EXCEPTION' },
  { path: '/functions/shop/versions', name: 'its versions', shows: 'Published as' },
  { path: '/functions/shop/logs', name: 'its logs', shows: SHOWN },
  { path: '/functions/shop/invoke', name: 'its invoke form', shows: 'Headers' },
  { path: '/pool', name: 'the pool', shows: 'What happened' },
  { path: '/triggers', name: 'triggers', shows: '0 0 1 1 *' },
  { path: '/access', name: 'access', shows: 'deploy:shop-*' },
  { path: '/deploy', name: 'deploy', shows: 'Source' },
  { path: '/nowhere', name: 'no such view', shows: 'There is no such page.' },
];

describe('the dashboard shows', { skip: CHROMIUM_MISSING, timeout: 120_000 }, () => {
  let gateway: TestGateway;
  let browser: Browser;
  before(async () => {
    [gateway, browser] = await Promise.all([startGateway(), startBrowser()]);
    await gateway.deploy('shop', `${SHOP}\n// first`, { manifest: MANIFEST });
    await gateway.deploy('shop', SHOP, { manifest: MANIFEST });
    await gateway.deploy('hidden', SHOP, { manifest: { hearth: { publish: false } } });
    for (const path of ['a', 'b', 'boom']) await (await fetch(`${gateway.url}/shop/${path}`)).text();
    await (await fetch(`${gateway.url}/shop/log`, { method: 'POST', body: HOSTILE })).text();
    await gateway.api('POST', '/v1/queues/baskets/messages', { messages: [{ body: HOSTILE }] });
    await gateway.api('POST', '/v1/tokens', { scopes: ['deploy:shop-*', 'read'], routes: ['shop.example.com/*'] });
  });
  after(async () => {
    await browser?.close();
    await gateway?.[Symbol.asyncDispose]();
  });

  describe('to everybody, wide and light, narrow and dark,', () => {
    let opened: Visit;
    before(async () => {
      opened = await open(browser, gateway, { path: '/functions' });
    });
    after(() => opened?.close());

    for (const { path, name, shows } of VIEWS) {
      test(name, async () => {
        const { page } = opened;
        await page.emulateMedia({ colorScheme: 'light' });
        await page.setViewportSize({ width: 1280, height: 900 });
        await page.goto(`${gateway.adminUrl}/#${path}`);
        await loaded(page);
        await page.locator('#app').getByText(shows).first().waitFor();
        assert.match(await page.title(), / · Hearth$/);
        assert.equal(await page.locator('h1').count(), 1);
        assert.deepEqual(await axeViolations(page), []);
        await page.emulateMedia({ colorScheme: 'dark' });
        await page.setViewportSize({ width: 400, height: 800 });
        assert.deepEqual(await axeViolations(page, { looks: true }), []);
        const tooWide = await page.evaluate('document.documentElement.scrollWidth > innerWidth');
        assert.equal(tooWide, false, 'it scrolls to the side');
        opened.check();
      });
    }
  });

  test('what is opened in a view, and the dialog before what cannot be taken back', async () => {
    await visit(browser, gateway, { path: '/functions/shop' }, async (page) => {
      await page
        .getByRole('button', { name: /^More about/ })
        .first()
        .click();
      await page.getByRole('link', { name: 'Lines of this invocation' }).waitFor();
      assert.deepEqual(await axeViolations(page), []);
      await page.getByRole('link', { name: 'Versions', exact: true }).click();
      for (const summary of await page.locator('summary').all()) await summary.click();
      await page.getByRole('button', { name: 'Delete the function' }).click();
      await page.getByRole('dialog', { name: 'Delete shop?' }).waitFor();
      assert.deepEqual(await axeViolations(page), []);
      assert.equal(await focused(page), 'Cancel');
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
      assert.equal(await focused(page), 'Delete the function');
    });
  });

  test('who is not signed in a form, to everybody', async () => {
    await visit(browser, gateway, { token: null, path: '/pool' }, async (page) => {
      await page.getByLabel('Token').waitFor();
      assert.deepEqual(await axeViolations(page), []);
      await page.emulateMedia({ colorScheme: 'dark' });
      assert.deepEqual(await axeViolations(page, { looks: true }), []);
    });
  });

  test('hostile text as text: in a log, in dead letters, in an address', async () => {
    await visit(browser, gateway, { path: '/functions/shop/logs' }, async (page) => {
      const line = page.locator('.line', { hasText: 'gnp.exe' }).first();
      assert.equal(await line.locator('.message').textContent(), SHOWN);
      assert.equal(await line.locator('img, script').count(), 0);
      assert.deepEqual(await line.locator('.unseen').allTextContents(), ['\\u202e', '\\x1b', '\\u200b', '\\x00']);
    });
    await visit(browser, gateway, { path: '/triggers' }, async (page) => {
      await page.getByRole('button', { name: 'Dead letters of baskets', exact: true }).click();
      await page.locator('.details code', { hasText: 'gnp.exe' }).waitFor();
      assert.equal(await page.locator('.details code', { hasText: 'gnp.exe' }).textContent(), SHOWN);
    });
    const name = encodeURIComponent('<b>x</b>\u202e');
    await visit(browser, gateway, { path: `/functions/${name}`, expected: /Failed to load/ }, async (page) => {
      await page.getByRole('alert').getByText('BAD_REQUEST').waitFor();
      assert.equal(await page.locator('h1 bdi').first().textContent(), '<b>x</b>\\u202e');
    });
  });

  test('the way by keyboard: past the navigation, along the links, with the focus in sight', async () => {
    await visit(browser, gateway, { path: '/functions' }, async (page) => {
      const way: string[] = [];
      for (let n = 0; n < 10; n++) {
        await page.keyboard.press('Tab');
        way.push(await focused(page));
        assert.notEqual(
          await page.evaluate('getComputedStyle(document.activeElement).outlineStyle'),
          'none',
          way.join(),
        );
      }
      assert.deepEqual(way.slice(0, 9), [
        'Skip to the content',
        'Hearth',
        'Functions',
        'Pool',
        'Triggers',
        'Access',
        'Docs',
        'Theme: auto',
        'Sign out',
      ]);
      await page.locator('.skip').focus();
      await page.keyboard.press('Enter');
      assert.equal(await page.evaluate('document.activeElement.id'), 'main');
      await page.keyboard.press('Tab');
      assert.equal(await focused(page), 'Deploy');
      await page.getByRole('link', { name: 'shop' }).focus();
      await page.keyboard.press('Enter');
      await page.getByRole('heading', { level: 1, name: 'shop' }).waitFor();
      await loaded(page);
      assert.equal(await page.evaluate('document.activeElement.tagName'), 'H1');
      assert.match(await page.title(), /^shop Overview/);
    });
  });

  test('a scheme that was chosen, also after the page was loaded again', async () => {
    await visit(browser, gateway, { path: '/functions' }, async (page) => {
      const background = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
      const light = await background();
      await page.getByRole('button', { name: 'Theme: auto' }).click();
      await page.getByRole('button', { name: 'Theme: light' }).click();
      await page.getByRole('button', { name: 'Theme: dark' }).waitFor();
      assert.notEqual(await background(), light);
      await page.reload();
      await page.getByRole('button', { name: 'Theme: dark' }).waitFor();
      assert.notEqual(await background(), light);
    });
  });

  test('a token that reads what it may, and why the rest is refused', async () => {
    const { body } = await gateway.api<{ token: string }>('POST', '/v1/tokens', { scopes: ['read'] });
    await visit(browser, gateway, { path: '/access', token: body.token, expected: /Failed to load/ }, async (page) => {
      await page.getByRole('alert').getByText('FORBIDDEN').waitFor();
      await page.getByRole('alert').getByText('This call needs the admin token.').waitFor();
      await page.getByRole('link', { name: 'Functions', exact: true }).click();
      await page.getByRole('link', { name: 'shop' }).waitFor();
      assert.equal(await page.getByRole('alert').locator('p').count(), 0);
    });
  });
});

function focused(page: Page): Promise<string> {
  return page.evaluate<string>('document.activeElement.innerText.trim()');
}
