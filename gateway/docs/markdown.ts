/**
 * Markdown to HTML for pages of ours. No HTML passes through from the source, and links go to pages, sections and http
 * alone, so that a slip in a page is text on it and nothing else.
 */
import { Marked, type Tokens } from 'marked';
import { escapeHtml } from './html.ts';

export interface Heading {
  depth: number;
  id: string;
  text: string;
}

export interface Rendered {
  html: string;
  /** The first heading of depth 1. */
  title: string;
  headings: Heading[];
}

/** Throws when the text has no heading of depth 1. */
export function renderMarkdown(source: string): Rendered {
  const headings: Heading[] = [];
  const marked = new Marked({ gfm: true });
  marked.use({
    renderer: {
      heading({ tokens, depth }: Tokens.Heading) {
        const text = plainText(tokens);
        const id = freeId(text, headings);
        headings.push({ depth, id, text });
        return `${headingHtml(depth, id, this.parser.parseInline(tokens), text)}\n`;
      },
      // Comments are for whoever edits the page; anything else is shown as it was written.
      html: ({ text }: Tokens.HTML | Tokens.Tag) => (/^\s*<!--[\s\S]*-->\s*$/.test(text) ? '' : escapeHtml(text)),
      code: ({ text, lang }: Tokens.Code) =>
        `<pre tabindex="0"><code class="language-${escapeHtml(/^[\w-]+/.exec(lang ?? '')?.[0] ?? 'text')}">${escapeHtml(text)}</code></pre>\n`,
      table(token: Tokens.Table) {
        const row = (cells: Tokens.TableCell[], tag: 'th' | 'td') =>
          `<tr>${cells.map((cell) => `<${tag}>${this.parser.parseInline(cell.tokens)}</${tag}>`).join('')}</tr>`;
        const body = token.rows.map((cells) => row(cells, 'td')).join('\n');
        return `<div class="table" tabindex="0"><table><thead>${row(token.header, 'th')}</thead>\n<tbody>\n${body}\n</tbody></table></div>\n`;
      },
      link({ href, tokens }: Tokens.Link) {
        const target = linkTarget(href);
        const text = this.parser.parseInline(tokens);
        return target === null ? text : `<a href="${escapeHtml(target)}">${text}</a>`;
      },
      image: ({ text }: Tokens.Image) => escapeHtml(text),
    },
  });
  const html = marked.parse(source, { async: false });
  const title = headings.find(({ depth }) => depth === 1)?.text;
  if (title === undefined) throw new Error('A page begins with a heading: # Title');
  return { html, title, headings };
}

/** A heading that can be linked to. `inner` is HTML, `text` what it says. */
export function headingHtml(depth: number, id: string, inner: string, text: string): string {
  const anchor = `<a class="anchor" href="#${escapeHtml(id)}" aria-label="Link to: ${escapeHtml(text)}">#</a>`;
  return `<h${depth} id="${escapeHtml(id)}">${inner}${depth === 1 ? '' : ` ${anchor}`}</h${depth}>`;
}

/**
 * Pages name each other as files (`operations.md#backup`), which works in an editor as well; here they are /docs/NAME.
 * Null: nowhere, such as a file of the repository, which a gateway does not serve.
 */
function linkTarget(href: string): string | null {
  const page = /^([a-z][\w-]*)\.md(#[\w-]*)?$/.exec(href);
  if (page !== null) return `/docs/${page[1]}${page[2] ?? ''}`;
  return /^(https?:\/\/|#|\/(docs|openapi\.json|metrics|dashboard)\b)/.test(href) ? href : null;
}

/** As on GitHub, so that links within a page work in both places. */
function freeId(text: string, taken: readonly Heading[]): string {
  const slug = text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replace(/\s/g, '-');
  const ids = new Set(taken.map(({ id }) => id));
  let id = slug;
  for (let n = 1; ids.has(id); n++) id = `${slug}-${n}`;
  return id;
}

function plainText(tokens: readonly { type: string; raw: string }[]): string {
  return tokens
    .map((token) => {
      const inner = (token as { tokens?: { type: string; raw: string }[] }).tokens;
      if (inner !== undefined && inner.length > 0) return plainText(inner);
      return (token as { text?: string }).text ?? token.raw;
    })
    .join('');
}
