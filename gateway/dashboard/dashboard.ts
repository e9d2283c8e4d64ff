/** The dashboard: static files at the control port. All it shows comes from the control API, with the token of whoever looks. */
import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';
import type { Context } from 'hono';
import type { ControlApp } from '../control/http.ts';

const PAGE_DIR = join(import.meta.dirname, 'page');

/** What is served, and nothing else: a path is looked up here, never in the file system. */
const OWN_FILES = [
  'style.css',
  'icon.svg',
  'app.js',
  'api.js',
  'charts.js',
  'dialog.js',
  'events.js',
  'format.js',
  'lit.js',
  'page.js',
  'parts.js',
  'sign-in.js',
  'split.js',
  'text.js',
  'unseen.js',
  'views/access.js',
  'views/deploy.js',
  'views/function.js',
  'views/functions.js',
  'views/invocations.js',
  'views/invoke.js',
  'views/logs.js',
  'views/overview.js',
  'views/pool.js',
  'views/publications.js',
  'views/queues.js',
  'views/rollouts.js',
  'views/traffic.js',
  'views/triggers.js',
  'views/versions.js',
];

/** Of lit-html, which renders the page: as its package ships them. */
const LIT_FILES = ['lit-html.js', 'directive.js', 'directive-helpers.js', 'directives/live.js', 'directives/repeat.js'];

const TYPES: Readonly<Record<string, string>> = {
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
};

/** Scripts and styles from here only; no inline ones, no frames, no forms that leave; text never becomes markup. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types lit-html',
].join('; ');

const HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': CONTENT_SECURITY_POLICY,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
};

interface Asset {
  path: string;
  type: string;
  content: string;
}

/** No token is needed for it: it holds nothing of this gateway but its looks. */
export function dashboardRoutes(app: ControlApp): void {
  const assets = readAssets();
  const modules = assets.filter(({ path }) => path.endsWith('.js')).map(({ path }) => path);
  const index = readFileSync(join(PAGE_DIR, 'index.html'), 'utf8').replace('<!-- modules -->', preloads(modules));
  const send = (c: Context, content: string, type: string) =>
    c.body(content, 200, { ...HEADERS, 'content-type': type });

  app.get('/', (c) => send(c, index, 'text/html; charset=utf-8'));
  for (const { path, type, content } of assets) app.get(path, (c) => send(c, content, type));
}

function readAssets(): Asset[] {
  // By its folder: what Node itself would import is the build for servers.
  const litDir = dirname(findPackageJSON('lit-html', import.meta.url) ?? '');
  const asset = (path: string, file: string): Asset => ({
    path,
    type: TYPES[path.slice(path.lastIndexOf('.') + 1)] ?? 'application/octet-stream',
    content: readFileSync(file, 'utf8'),
  });
  return [
    ...OWN_FILES.map((name) => asset(`/dashboard/${name}`, join(PAGE_DIR, name))),
    ...LIT_FILES.map((name) => asset(`/dashboard/lit/${name}`, join(litDir, name))),
  ];
}

/** All modules at once, instead of one after another as their imports are found. */
function preloads(paths: readonly string[]): string {
  return paths.map((path) => `<link rel="modulepreload" href="${path}">`).join('\n');
}
