/**
 * The dashboard: one document, its style, its picture and its script at the control port. All it shows comes from the
 * control API, with the token of whoever looks.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { Context } from 'hono';
import type { ControlApp } from '../control/http.ts';

const PAGE_DIR = join(import.meta.dirname, 'page');

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

/** No token is needed for it: it holds nothing of this gateway. */
export function dashboardRoutes(app: ControlApp): void {
  const send = (c: Context, content: string, type: string) =>
    c.body(content, 200, { ...HEADERS, 'content-type': type });
  const serveFile = (path: string, name: string, type: string) => {
    const content = readFileSync(join(PAGE_DIR, name), 'utf8');
    app.get(path, (c) => send(c, content, type));
  };
  serveFile('/', 'index.html', 'text/html; charset=utf-8');
  serveFile('/dashboard/style.css', 'style.css', 'text/css; charset=utf-8');
  serveFile('/dashboard/icon.svg', 'icon.svg', 'image/svg+xml');

  let script: Promise<string> | null = null;
  app.get('/dashboard/app.js', async (c) => {
    script ??= bundle().catch((error: unknown) => {
      script = null;
      throw error;
    });
    return send(c, await script, 'text/javascript; charset=utf-8');
  });
}

/** The page's modules and lit-html as one file, made when somebody first looks: thirty requests take far longer. */
async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(PAGE_DIR, 'app.js')],
    bundle: true,
    write: false,
    platform: 'browser',
    format: 'esm',
    target: 'es2024',
    minify: true,
    logLevel: 'error',
    legalComments: 'eof',
  });
  return outputFiles[0]?.text ?? '';
}
