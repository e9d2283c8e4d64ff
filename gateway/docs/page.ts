/** The frame all docs pages stand in: one HTML document and one style sheet, nothing from elsewhere and no script. */
import { escapeHtml } from './html.ts';
import type { Heading } from './markdown.ts';

/** One page of the docs, before its frame. */
export interface DocsPage {
  /** Its address below /docs; empty: /docs itself. */
  slug: string;
  title: string;
  /** What the navigation calls it; default: its title. */
  label?: string;
  body: string;
  /** For the list of what is on the page. */
  headings?: readonly Heading[];
}

/** Everything comes from this server, and there is no script; sent with each page. */
export const PAGE_POLICY =
  "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export function addressOf(slug: string): string {
  return slug === '' ? '/docs' : `/docs/${slug}`;
}

export function framed(page: DocsPage, all: readonly DocsPage[]): string {
  const entries = all.map((other) => {
    const current = other.slug === page.slug ? ' aria-current="page"' : '';
    return `<li><a href="${addressOf(other.slug)}"${current}>${escapeHtml(other.label ?? other.title)}</a></li>`;
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(page.slug === '' ? page.title : `${page.title} · Hearth`)}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/style.css">
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header><a href="/docs">Hearth</a> <a href="/">Dashboard</a></header>
<div class="columns">
<nav aria-label="Pages"><ul>
${entries.join('\n')}
<li><a href="/openapi.json">openapi.json</a></li>
</ul></nav>
${contents(page.headings ?? [])}<main id="content" tabindex="-1">
${page.body}
</main>
</div>
</body>
</html>
`;
}

/** Of long pages. */
function contents(headings: readonly Heading[]): string {
  const sections = headings.filter(({ depth }) => depth === 2);
  if (sections.length < 4) return '';
  const items = sections.map(({ id, text }) => `<li><a href="#${escapeHtml(id)}">${escapeHtml(text)}</a></li>`);
  return `<nav class="contents" aria-label="On this page"><ul>${items.join('')}</ul></nav>\n`;
}

export const STYLE = `
:root { color-scheme: light dark; --link: light-dark(#0b57d0, #8ab4f8); --line: light-dark(#d0d4da, #454b55); --shade: light-dark(#f4f5f7, #22262c); }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { font: 16px/1.55 system-ui, sans-serif; margin: 0; overflow-wrap: break-word; }
.skip { position: absolute; left: -100vw; }
.skip:focus { position: static; display: block; padding: .5rem 1.5rem; }
header { padding: .75rem 1.5rem; border-bottom: 1px solid var(--line); font-weight: 700; }
header { display: flex; gap: 1.5rem; }
header a { text-decoration: none; }
.columns { display: flex; align-items: flex-start; }
.columns > nav { flex: 0 0 14rem; position: sticky; top: 0; max-height: 100vh; overflow-y: auto; padding: 1rem 1.5rem; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav li { padding: .15rem 0; }
nav a { text-decoration: none; }
nav a:hover { text-decoration: underline; }
nav [aria-current] { font-weight: 700; }
main { flex: 1 1 0; min-width: 0; max-width: 60rem; padding: .5rem 1.5rem 4rem; }
main:focus { outline: none; }
.columns > .contents { order: 1; flex: 0 1 13rem; font-size: 14px; }
a { color: var(--link); }
h2 { margin-top: 2.5rem; }
.anchor { text-decoration: none; opacity: 0; }
:is(h2, h3, h4):hover .anchor, .anchor:focus { opacity: 1; }
code, pre { font: 14px/1.5 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .75rem; background: var(--shade); border-radius: 6px; }
:not(pre) > code { background: var(--shade); border-radius: 4px; padding: .1em .25em; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; }
summary { padding: .5rem .75rem; cursor: pointer; }
details > div { padding: 0 .75rem .75rem; }
.method { display: inline-block; min-width: 4.5em; font-weight: 700; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line); }
td { min-width: 6rem; }
@media (max-width: 75rem) {
  .columns > .contents { display: none; }
}
@media (max-width: 50rem) {
  .columns { display: block; }
  .columns > nav { position: static; max-height: none; border-bottom: 1px solid var(--line); }
  .columns > nav li { display: inline-block; margin-right: 1rem; }
}
`;
