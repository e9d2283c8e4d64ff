/**
 * How soon somebody who opens the dashboard sees their functions: from the navigation to the first row of the list, in a
 * real Chromium. A new browser profile has nothing cached; a second visit of it has compiled code at best, since nothing of
 * the page may be stored.
 */
import type { Browser, BrowserContext } from 'playwright-core';
import { CHROMIUM_MISSING, startBrowser } from '../../gateway/dashboard/testing/browser.ts';
import type { TestGateway } from '../../gateway/testing/gateway.ts';
import { HELLO, startHearth } from '../peers/hearth.ts';
import { figure, median, percentile, table } from '../report.ts';

export interface DashboardOptions {
  functions: number;
  /** Of each kind. */
  loads: number;
}

/** Ms since the navigation began. */
interface Load {
  painted: number;
  listed: number;
}

const KINDS = ['new profile', 'second visit'] as const;

/** Notes when the first row stands in the document and the frame after it is due. */
const WATCH = `
new MutationObserver((_, observer) => {
  if (document.querySelector('tbody tr') === null) return;
  observer.disconnect();
  requestAnimationFrame(() => { document.documentElement.dataset.listed = String(performance.now()); });
}).observe(document, { childList: true, subtree: true });`;

export async function dashboard(options: DashboardOptions): Promise<{ text: string; data: unknown }> {
  if (CHROMIUM_MISSING !== false)
    return { text: `not measured: ${CHROMIUM_MISSING}`, data: { skipped: CHROMIUM_MISSING } };
  await using hearth = await startHearth();
  const { gateway } = hearth;
  for (let n = 1; n < options.functions; n++) await gateway.deploy(`bench-${n}`, HELLO);
  const browser = await startBrowser();
  try {
    const found: Record<(typeof KINDS)[number], Load[]> = { 'new profile': [], 'second visit': [] };
    for (let n = 0; n < options.loads; n++) {
      const context = await openProfile(browser, gateway);
      for (const kind of KINDS) found[kind].push(await load(context, gateway));
      await context.close();
    }
    const rows = KINDS.map((kind) => {
      const listed = found[kind].map((one) => one.listed);
      return {
        kind,
        loads: listed.length,
        paintedMs: median(found[kind].map(({ painted }) => painted)),
        listedMs: median(listed),
        slowestTenthMs: percentile(listed, 90),
      };
    });
    const text = [
      `Dashboard: ${options.functions} functions, from the navigation, median of ${options.loads}, ms`,
      table(
        ['', 'first paint', 'list shown', 'p90'],
        rows.map(({ kind, paintedMs, listedMs, slowestTenthMs }) => [
          kind,
          figure(paintedMs, 0),
          figure(listedMs, 0),
          figure(slowestTenthMs, 0),
        ]),
      ),
    ].join('\n');
    return { text, data: { functions: options.functions, rows } };
  } finally {
    await browser.close();
  }
}

async function openProfile(browser: Browser, { token }: TestGateway): Promise<BrowserContext> {
  const context = await browser.newContext();
  await context.addInitScript(`sessionStorage.setItem('hearth-token', ${JSON.stringify(token)})`);
  await context.addInitScript(WATCH);
  return context;
}

async function load(context: BrowserContext, { adminUrl }: TestGateway): Promise<Load> {
  const page = await context.newPage();
  await page.goto(`${adminUrl}/`);
  await page.locator('html[data-listed]').waitFor();
  const measured = await page.evaluate<Load>(`({
    painted: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN,
    listed: Number(document.documentElement.dataset.listed),
  })`);
  await page.close();
  return measured;
}
