/** /docs: the control API for a person to read, made from the same document that is at /openapi.json. */
import { escapeHtml } from './html.ts';
import { headingHtml } from './markdown.ts';
import type { DocsPage } from './page.ts';

/** What is used of an OpenAPI 3.1 document. */
export interface ApiDocument {
  info: { title: string; description?: string | undefined; version: string };
  paths?: Record<string, Record<string, Operation>> | undefined;
  components?: { schemas?: Record<string, unknown> | undefined } | undefined;
}

interface Operation {
  summary?: string;
  tags?: string[];
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema?: unknown }[];
  requestBody?: { content?: Record<string, { schema?: unknown }> };
  responses?: Record<string, { description?: string; content?: Record<string, { schema?: unknown }> }>;
}

const METHODS = ['get', 'put', 'post', 'patch', 'delete'];

export function apiPage(document: ApiDocument): DocsPage {
  const groups = new Map<string, string[]>();
  for (const [path, operations] of Object.entries(document.paths ?? {})) {
    for (const method of METHODS) {
      const operation = operations[method];
      if (operation === undefined) continue;
      const tag = operation.tags?.[0] ?? 'other';
      groups.set(tag, [...(groups.get(tag) ?? []), operationHtml(method, path, operation)]);
    }
  }
  const calls = [...groups].map(
    ([tag, operations]) => `${headingHtml(2, tag, escapeHtml(tag), tag)}\n${operations.join('\n')}`,
  );
  const schemas = Object.entries(document.components?.schemas ?? {}).map(
    ([name, schema]) =>
      `<details id="schema-${escapeHtml(name)}"><summary><code>${escapeHtml(name)}</code></summary><div>${schemaHtml(schema)}</div></details>`,
  );
  return {
    slug: '',
    title: document.info.title,
    label: 'API reference',
    headings: [...groups.keys(), 'schemas'].map((tag) => ({ depth: 2, id: tag, text: tag })),
    body: `<h1>${escapeHtml(document.info.title)}</h1>
<p>${escapeHtml(document.info.description ?? '')}</p>
<pre tabindex="0">${escapeHtml(EXAMPLE)}</pre>
${calls.join('\n')}
${headingHtml(2, 'schemas', 'schemas', 'schemas')}
${schemas.join('\n')}`,
  };
}

const EXAMPLE = `TOKEN=$(cat .hearth/admin-token)
curl -X PUT localhost:8081/v1/functions/hi -H "authorization: Bearer $TOKEN" \\
     -H 'content-type: text/typescript' --data-binary 'export default { fetch: () => new Response("hi") }'
curl -i localhost:8080/hi`;

function operationHtml(method: string, path: string, operation: Operation): string {
  const parameters = (operation.parameters ?? []).map(
    (parameter) =>
      `<tr><td><code>${escapeHtml(parameter.name)}</code></td><td>${escapeHtml(parameter.in)}${parameter.required === true ? ', required' : ''}</td><td>${escapeHtml(parameter.description ?? '')} <code>${escapeHtml(JSON.stringify(parameter.schema ?? {}))}</code></td></tr>`,
  );
  const bodies = Object.entries(operation.requestBody?.content ?? {}).map(
    ([type, { schema }]) => `<p>Body: <code>${escapeHtml(type)}</code></p>${schemaHtml(schema)}`,
  );
  const answers = Object.entries(operation.responses ?? {})
    .filter(([status]) => Number(status) < 400)
    .map(([status, { description = '', content = {} }]) => {
      const shapes = Object.entries(content).map(
        ([type, { schema }]) => `<p><code>${escapeHtml(type)}</code></p>${schemaHtml(schema)}`,
      );
      return `<p>Answer ${escapeHtml(status)}: ${escapeHtml(description)}</p>${shapes.join('')}`;
    });
  const problems = Object.keys(operation.responses ?? {}).filter((status) => Number(status) >= 400);
  return `<details><summary><code><span class="method">${method.toUpperCase()}</span> ${escapeHtml(path)}</code> ${escapeHtml(operation.summary ?? '')}</summary>
<div>${parameters.length === 0 ? '' : `<table><tbody>${parameters.join('')}</tbody></table>`}${bodies.join('')}${answers.join('')}
<p><a href="/docs/errors">Problems</a>: ${escapeHtml(problems.join(', '))}</p></div></details>`;
}

/** A named schema as a link, any other as it is. */
function schemaHtml(schema: unknown): string {
  const reference = (schema as { $ref?: string } | undefined)?.$ref;
  if (reference !== undefined) {
    const name = escapeHtml(reference.replace('#/components/schemas/', ''));
    return `<p><a href="#schema-${name}"><code>${name}</code></a></p>`;
  }
  return `<pre>${escapeHtml(JSON.stringify(schema ?? {}, null, 2))}</pre>`;
}
