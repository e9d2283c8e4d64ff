/** /docs/manifest: each key of the manifest with its default and range, made from the schema that checks it. */
import { z } from 'zod';
import { manifestSchema } from '../../functions/contract/manifest.ts';
import { IGNORED_KEYS, UNSUPPORTED_FEATURES } from '../../functions/contract/manifest-keys.ts';
import { escapeHtml } from './html.ts';
import { MANIFEST_WORDS } from './manifest-words.ts';
import { headingHtml } from './markdown.ts';
import type { DocsPage } from './page.ts';

/** What is used of JSON Schema. */
interface Schema {
  type?: string;
  description?: string;
  default?: unknown;
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  maxItems?: number;
}

export interface ManifestKey {
  /** `queues.consumers[].queue`: of each entry of a list. */
  path: string;
  /** What it may be, with its range. */
  kind: string;
  /** As JSON; null: none. */
  default: string | null;
  required: boolean;
  /** Undefined: nobody has said what it means, which a test notices. */
  words: string | undefined;
}

export function manifestKeys(): ManifestKey[] {
  const schema = z.toJSONSchema(manifestSchema, { io: 'input', unrepresentable: 'any' }) as Schema;
  const ignored = new Set<string>(IGNORED_KEYS);
  return keysOf(schema, '').filter(({ path }) => !ignored.has(path.replace(/[.[].*/, '')));
}

export function manifestPage(): DocsPage {
  const keys = manifestKeys();
  const sections: [id: string, text: string, keys: ManifestKey[]][] = [
    ['workers', "Workers' own keys", keys.filter(({ path }) => !path.startsWith('hearth.'))],
    ['hearth', "Hearth's settings, under hearth", keys.filter(({ path }) => path.startsWith('hearth.'))],
  ];
  const refused = Object.entries(UNSUPPORTED_FEATURES).map(
    ([key, feature]) => `<li><code>${escapeHtml(key)}</code>: ${escapeHtml(feature)}</li>`,
  );
  const headings = [
    ...sections.map(([id, text]) => ({ depth: 2, id, text })),
    { depth: 2, id: 'ignored', text: 'Without effect' },
    { depth: 2, id: 'refused', text: 'Refused' },
  ];
  return {
    slug: 'manifest',
    title: 'Manifest',
    headings,
    body: `<h1>Manifest</h1>
<p>A function's manifest is <code>hearth.jsonc</code> beside its code, or an existing <code>wrangler.jsonc</code>,
<code>wrangler.json</code> or <code>wrangler.toml</code>. All of it is optional. This page is made from the schema that checks
it: a key that is not here is refused, with file, line and column.</p>
${sections.map(([id, text, rows]) => `${headingHtml(2, id, escapeHtml(text), text)}\n${table(rows)}`).join('\n')}
${headingHtml(2, 'ignored', 'Without effect', 'Without effect')}
<p>Accepted, as they concern Cloudflare's accounts and tools: ${IGNORED_KEYS.map((key) => `<code>${escapeHtml(key)}</code>`).join(', ')}.</p>
${headingHtml(2, 'refused', 'Refused', 'Refused')}
<p>What Workers has and Hearth has not is refused by name rather than ignored:</p>
<ul>${refused.join('\n')}</ul>`,
  };
}

function table(keys: ManifestKey[]): string {
  const rows = keys.map(
    (key) => `<tr id="${escapeHtml(key.path)}"><td><code>${escapeHtml(key.path)}</code></td>
<td>${escapeHtml(key.kind)}</td><td>${key.default === null ? (key.required ? 'required' : 'none') : `<code>${escapeHtml(key.default)}</code>`}</td>
<td>${escapeHtml(key.words ?? '')}</td></tr>`,
  );
  return `<div class="table" tabindex="0"><table><thead><tr><th>Key</th><th>Value</th><th>Default</th><th>Meaning</th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody></table></div>`;
}

/** What holds further keys is shown by these alone. */
function keysOf(schema: Schema, prefix: string): ManifestKey[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, given]) => {
    const path = `${prefix}${name}`;
    const within = nested(given, path);
    const alternatives = alternativesOf(given);
    if (within.length > 0 && alternatives.every(isContainer)) return within;
    const key: ManifestKey = {
      path,
      kind: kindOf(given),
      default: defaultOf(given),
      required: schema.required?.includes(name) ?? false,
      words: given.description ?? MANIFEST_WORDS[path],
    };
    return [key, ...within];
  });
}

function nested(schema: Schema, path: string): ManifestKey[] {
  const found = alternativesOf(schema).flatMap((one) =>
    one.items === undefined ? keysOf(one, `${path}.`) : nested(one.items, `${path}[]`),
  );
  // Alternatives may share keys.
  return found.filter((key, i) => found.findIndex(({ path }) => path === key.path) === i);
}

function isContainer({ properties, items }: Schema): boolean {
  return properties !== undefined || (items !== undefined && alternativesOf(items).every(isContainer));
}

/** Without null, which stands for "absent". */
function alternativesOf(schema: Schema): Schema[] {
  return (schema.anyOf?.flatMap(alternativesOf) ?? [schema]).filter(({ type }) => type !== 'null');
}

function defaultOf(schema: Schema): string | null {
  return schema.default === undefined || schema.default === null ? null : JSON.stringify(schema.default);
}

function kindOf(schema: Schema): string {
  const kinds = alternativesOf(schema).map((one) => {
    if (one.const !== undefined) return JSON.stringify(one.const);
    if (one.enum !== undefined) return one.enum.map((value) => JSON.stringify(value)).join(', ');
    if (one.items !== undefined)
      return `list of (${kindOf(one.items)})${range(one.minItems, one.maxItems, ' entries')}`;
    if (one.type === 'integer' || one.type === 'number') return `${one.type}${range(one.minimum, one.maximum, '')}`;
    return one.type ?? 'any JSON';
  });
  return [...new Set(kinds)].join(', or ');
}

function range(least: number | undefined, most: number | undefined, unit: string): string {
  if (least === undefined && most === undefined) return '';
  if (most === undefined) return `, at least ${least}${unit}`;
  return least === undefined ? `, at most ${most}${unit}` : `, ${least} to ${most}${unit}`;
}
