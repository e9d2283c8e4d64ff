/** The docs as one site: pages written in pages/*.md, and those made from what Hearth itself goes by. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ApiDocument, apiPage } from './api.ts';
import { compatibilityPage } from './compatibility.ts';
import { errorsPage } from './errors.ts';
import { manifestPage } from './manifest.ts';
import { renderMarkdown } from './markdown.ts';
import { type DocsPage, framed } from './page.ts';
import { settingsPage } from './settings.ts';

const PAGES = join(import.meta.dirname, 'pages');
/** What is said of security stands at the root of the repository, where people look for it, and nowhere else. */
const SECURITY = join(import.meta.dirname, '../../SECURITY.md');

/** What comes first in the navigation, by slug; the rest follows by title. */
const ORDER = [
  ...['concepts', 'modules', 'functions', 'manifest', 'queues', 'crons', 'async', 'services', 'releasing', 'workers'],
  ...['compatibility', '', 'errors', 'cli', 'dashboard', 'observability', 'operations', 'settings', 'bases', 'pools'],
  ...['redis', 'security', 'arklet', 'performance'],
];

export interface Docs {
  /** The page at /docs/SLUG as HTML; null: there is none. */
  page(slug: string): string | null;
}

/** Pages are made when the first of them is asked for: a start does not wait for them. */
export function createDocs(describe: () => ApiDocument): Docs {
  let all: DocsPage[] | null = null;
  return {
    page(slug) {
      all ??= [
        ...writtenPages(),
        errorsPage(),
        settingsPage(),
        manifestPage(),
        compatibilityPage(),
        apiPage(describe()),
      ].sort(byOrder);
      const page = all.find((one) => one.slug === slug);
      return page === undefined ? null : framed(page, all);
    },
  };
}

function writtenPages(): DocsPage[] {
  const files = readdirSync(PAGES).filter((file) => file.endsWith('.md'));
  const written = files.map((file) => ({ slug: file.slice(0, -'.md'.length), path: join(PAGES, file) }));
  return [...written, { slug: 'security', path: SECURITY }].map(({ slug, path }) => {
    const { html, title, headings } = renderMarkdown(readFileSync(path, 'utf8'));
    return { slug, title, headings, body: html };
  });
}

function byOrder(a: DocsPage, b: DocsPage): number {
  const place = ({ slug }: DocsPage) => (ORDER.includes(slug) ? ORDER.indexOf(slug) : ORDER.length);
  return place(a) - place(b) || a.title.localeCompare(b.title);
}
