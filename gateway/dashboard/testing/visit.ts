/** The dashboard of a running gateway in a real browser. What the browser complains of fails the test. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, Page } from 'playwright-core';
import type { TestGateway } from '../../testing/gateway.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Far above what anything takes on a loaded machine. */
const PATIENCE_MS = 60_000;

export interface VisitOptions {
  /** Behind the #. */
  path?: string;
  /** Null: nobody is signed in. Default: the admin's. */
  token?: string | null;
  scheme?: 'light' | 'dark';
  width?: number;
  /** Complaints of the console that the test brings about. */
  expected?: RegExp;
}

export interface Visit {
  readonly page: Page;
  /** Throws when the browser has complained. */
  check(): void;
  close(): Promise<void>;
}

/** Opens a view and waits until it has loaded. */
export async function open(browser: Browser, gateway: TestGateway, options: VisitOptions): Promise<Visit> {
  const { path = '', token = gateway.token, scheme = 'light', width = 1280, expected } = options;
  const context = await browser.newContext({
    colorScheme: scheme,
    reducedMotion: 'reduce',
    viewport: { width, height: 900 },
  });
  const close = () => context.close();
  try {
    context.setDefaultTimeout(PATIENCE_MS);
    const complaints: string[] = [];
    const page = await context.newPage();
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error' && expected?.test(message.text()) !== true) complaints.push(message.text());
    });
    page.on('dialog', (dialog) => {
      complaints.push(`a dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await page.addInitScript(
      `addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => console.error('refused by the policy', violatedDirective, blockedURI));`,
    );
    if (token !== null) await page.addInitScript(`sessionStorage.setItem('hearth-token', ${JSON.stringify(token)})`);
    await page.goto(`${gateway.adminUrl}/#${path}`);
    await loaded(page);
    return { page, check: () => assert.deepEqual(complaints, []), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Opens a view, uses it, and closes it again. */
export async function visit(
  browser: Browser,
  gateway: TestGateway,
  options: VisitOptions,
  use: (page: Page) => Promise<void>,
): Promise<void> {
  const opened = await open(browser, gateway, options);
  try {
    await use(opened.page);
    opened.check();
  } finally {
    await opened.close();
  }
}

/** Resolves once nothing is under way that the view waits for. */
export async function loaded(page: Page): Promise<void> {
  await page.locator('main[aria-busy=false] h1').waitFor();
}

/** Rules whose outcome hangs on colours and sizes; all others say of the same document the same. */
const LOOKS = ['color-contrast', 'link-in-text-block', 'target-size', 'scrollable-region-focusable'];

/** What axe finds wrong with the page as it stands, one line each. `looks`: only what another scheme or width may change. */
export async function axeViolations(page: Page, { looks = false } = {}): Promise<string[]> {
  const options = looks ? { runOnly: LOOKS } : {};
  if (!(await page.evaluate('"axe" in window'))) await page.evaluate(AXE);
  const { violations } = await page.evaluate<{
    violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
  }>(`axe.run(document, ${JSON.stringify(options)})`);
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)} ${failureSummary}`),
  );
}
