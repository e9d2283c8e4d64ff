/** How the page is served, without a browser. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createAccess } from '../control/access.ts';
import { createControlApp } from '../control/app.ts';
import { createLogger } from '../telemetry/log.ts';
import { dashboardRoutes } from './dashboard.ts';

const PAGE_DIR = join(import.meta.dirname, 'page');

async function createApp() {
  const tokens = { list: async () => [], put: async () => undefined, delete: async () => false };
  return createControlApp({
    access: await createAccess('secret', tokens),
    log: createLogger({ level: 'silent', pretty: false, write: () => undefined }),
    hosts: new Set(['localhost']),
    maxDeployBytes: 1024,
    open: dashboardRoutes,
    resources: [],
  });
}

const get = async (path: string, host = 'localhost:8081') =>
  (await createApp()).request(`http://localhost${path}`, { headers: { host } });

test('the page is served without a token, under a policy that allows no inline script or style and no frame', async () => {
  const answer = await get('/');
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('content-type'), 'text/html; charset=utf-8');
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
  const policy = answer.headers.get('content-security-policy') ?? '';
  const directives = ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"];
  for (const directive of [...directives, "base-uri 'none'", "form-action 'none'"]) {
    assert.ok(policy.split('; ').includes(directive), `${directive} in ${policy}`);
  }
  assert.doesNotMatch(policy, /unsafe|http|\*/);
  assert.equal(answer.headers.get('set-cookie'), null);
});

test('the document holds no script or style of its own, and names nothing that is not served', async () => {
  const app = await createApp();
  const html = await (await app.request('http://localhost/', { headers: { host: 'localhost' } })).text();
  assert.doesNotMatch(html, /<style|style=|\son\w+=|<script(?![^>]*src=)/);
  const named = [...html.matchAll(/(?:href|src)="(\/dashboard[^"]*)"/g)].map(([, path]) => path as string);
  assert.deepEqual(named.sort(), ['/dashboard/app.js', '/dashboard/icon.svg', '/dashboard/style.css']);
  for (const path of named) {
    const answer = await app.request(`http://localhost${path}`, { headers: { host: 'localhost' } });
    assert.equal(answer.status, 200, path);
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff', path);
    assert.match(answer.headers.get('content-type') ?? '', /^(text\/(javascript|css)|image\/svg)/, path);
    assert.notEqual(await answer.text(), '', path);
  }
});

test('nothing of the page writes markup, and its script asks no other server for anything', async () => {
  const modules = readdirSync(PAGE_DIR, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.js'));
  assert.ok(modules.length > 20, modules.join());
  for (const name of modules) {
    const source = readFileSync(join(PAGE_DIR, name), 'utf8');
    assert.doesNotMatch(source, /innerHTML|outerHTML|insertAdjacentHTML|unsafe|\beval\b|new Function|style=/, name);
  }
  const script = await (await get('/dashboard/app.js')).text();
  assert.doesNotMatch(script, /https?:\/\/(?!www\.w3\.org\/)|\bimport\b|\beval\(/);
});

test('nothing else of the folder or the machine is served', async () => {
  for (const path of [
    '/dashboard/index.html',
    '/dashboard/types.d.ts',
    '/dashboard/tsconfig.json',
    '/dashboard/../dashboard.ts',
    '/dashboard/..%2fdashboard.ts',
    '/dashboard/%2e%2e/dashboard.ts',
    '/dashboard//etc/passwd',
    '/dashboard/page/app.js',
    '/dashboard/api.js',
    '/dashboard/lit-html.js',
    '/dashboard/',
  ]) {
    const answer = await get(path);
    assert.equal(answer.status, 404, path);
    assert.equal(answer.headers.get('content-type'), 'application/problem+json', path);
  }
});

test('to a page that came by another name, as by DNS rebinding, nothing is served', async () => {
  for (const path of ['/', '/dashboard/app.js']) {
    const answer = await get(path, 'rebound.example:8081');
    assert.equal(answer.status, 403, path);
    assert.doesNotMatch(await answer.text(), /<html|import/, path);
  }
});
