import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ERRORS } from '../../functions/contract/errors.ts';
import { settings } from '../settings.ts';
import { manifestKeys } from './manifest.ts';
import { MANIFEST_WORDS } from './manifest-words.ts';
import { renderMarkdown } from './markdown.ts';
import { createDocs } from './site.ts';

const API = {
  info: { title: 'Hearth control API', version: '1', description: 'Deploy & watch' },
  paths: { '/v1/things/{id}': { get: { summary: 'One <thing>', tags: ['things'], responses: { 200: {}, 404: {} } } } },
};
const docs = createDocs(() => API);
const WRITTEN = readdirSync(new URL('pages', import.meta.url)).map((file) => file.replace(/\.md$/, ''));
const SLUGS = ['', 'errors', 'settings', 'manifest', 'compatibility', 'security', ...WRITTEN];

test('every page is in the navigation of every other, and each link within the docs leads to a page and a section', () => {
  const idsOf = new Map<string, Set<string>>();
  for (const slug of SLUGS) {
    const html = docs.page(slug);
    assert.ok(html !== null, `/docs/${slug}`);
    const ids = [...html.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id!);
    assert.equal(new Set(ids).size, ids.length, `/docs/${slug} has two elements of one id`);
    idsOf.set(slug, new Set(ids));
  }
  for (const slug of SLUGS) {
    const html = docs.page(slug)!;
    for (const other of SLUGS) assert.ok(html.includes(`href="${other === '' ? '/docs' : `/docs/${other}`}"`), other);
    for (const [, target = ''] of html.matchAll(/href="([^"]*)"/g)) {
      const [, page, section] = /^(?:\/docs\/?([\w-]*))?(?:#(.+))?$/.exec(target) ?? [];
      if (page === undefined && section === undefined) continue;
      const ids = idsOf.get(page ?? slug);
      if (target === '/docs/style.css') continue;
      assert.ok(ids !== undefined, `${target} on /docs/${slug}`);
      if (section !== undefined) assert.ok(ids.has(section), `${target} on /docs/${slug}`);
    }
  }
});

test('each link of the README and of pages into the repository leads to a file, and to a section of it', () => {
  const root = new URL('../../', import.meta.url);
  const pages = WRITTEN.map((slug) => new URL(`gateway/docs/pages/${slug}.md`, root));
  let followed = 0;
  for (const from of [new URL('README.md', root), new URL('SECURITY.md', root), ...pages]) {
    const text = readFileSync(from, 'utf8').replaceAll(/^```[\s\S]*?^```$/gm, '');
    for (const [, href = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      const to = new URL(href, from);
      // Pages name those that are made from the code as if they were files.
      if (to.protocol !== 'file:' || href.startsWith('/') || /^[a-z]+\.md/.test(href)) continue;
      followed++;
      assert.ok(existsSync(new URL(to.pathname, root)), `${href} in ${from.pathname}`);
      if (to.hash === '') continue;
      const ids = renderMarkdown(readFileSync(new URL(to.pathname, root), 'utf8')).headings.map(({ id }) => id);
      assert.ok(ids.includes(to.hash.slice(1)), `${href} in ${from.pathname}`);
    }
  }
  assert.ok(followed > 20, String(followed));
});

test('a page can be read without a mouse, a script, or anything from elsewhere', () => {
  for (const slug of SLUGS) {
    const html = docs.page(slug)!;
    assert.match(html, /^<!doctype html>\n<html lang="en">/);
    assert.match(html, /<body>\n<a class="skip" href="#content">[\s\S]*<main id="content"/);
    assert.match(html, /aria-current="page"/);
    assert.equal(html.match(/<h1[ >]/g)?.length, 1, slug);
    assert.doesNotMatch(html, /<script|<style|\sstyle=|\son\w+=|(src|<link[^>]*href)="(https?:)?\/\//);
  }
});

test('errors, settings, and the manifest are shown whole, from what Hearth goes by', () => {
  for (const code of Object.keys(ERRORS)) assert.ok(docs.page('errors')!.includes(`id="${code.toLowerCase()}"`), code);
  for (const { env } of Object.values(settings()))
    assert.ok(docs.page('settings')!.includes(`<code>${env}</code>`), env);
  const keys = manifestKeys();
  for (const { path } of keys) assert.ok(docs.page('manifest')!.includes(`<code>${path}</code>`), path);
  const memory = keys.find(({ path }) => path === 'hearth.memoryMb');
  assert.deepEqual([memory?.kind, memory?.default], ['integer, 16 to 16384', '128']);
});

test('each key of the manifest is explained, and nothing that is no key', () => {
  const keys = manifestKeys();
  const unexplained = keys.filter(({ words }) => words === undefined).map(({ path }) => path);
  assert.deepEqual(
    unexplained,
    [],
    'say in gateway/docs/manifest-words.ts, or by describe() in the schema, what these mean',
  );
  const paths = new Set(keys.map(({ path }) => path));
  assert.deepEqual(
    Object.keys(MANIFEST_WORDS).filter((path) => !paths.has(path)),
    [],
  );
});

test('the API reference shows calls, their text as text, and the problems that each may answer', () => {
  const html = docs.page('')!;
  assert.match(html, /GET<\/span> \/v1\/things\/\{id\}<\/code> One &lt;thing&gt;/);
  assert.match(html, /Problems<\/a>: 404</);
  assert.match(html, /Deploy &amp; watch/);
});

test('there is no page of another name', () => {
  for (const slug of ['no-such', '../open', 'constructor', '__proto__', 'style.css'])
    assert.equal(docs.page(slug), null);
});

test('HTML and strange addresses in Markdown are text', () => {
  const { html, title, headings } = renderMarkdown(
    '# A <b>page</b>\n\n<script>x()</script>\n\n<!-- a note -->\n\n[a](javascript:x) [b](other.md#s) [c](data:text/html,x) ![d](http://x/y.png) `<i>`\n\n## One\n\n## One\n',
  );
  assert.doesNotMatch(html, /<script|<b>|javascript:|data:|<img|<i>|a note/);
  assert.match(html, /&lt;script&gt;/);
  assert.match(html, /<a href="\/docs\/other#s">b<\/a>/);
  assert.equal(title, 'A <b>page</b>');
  assert.deepEqual(
    headings.map(({ id }) => id),
    ['a-bpageb', 'one', 'one-1'],
  );
  assert.throws(() => renderMarkdown('text alone'), /begins with a heading/);
});
