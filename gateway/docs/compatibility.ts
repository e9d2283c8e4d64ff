/**
 * What Hearth does of Workers: one table, shown at /docs/compatibility and held by compatibility.test.ts, which has a case for
 * every row that says `yes` or `partly`, and for every `no` that is refused by name.
 */
import { UNSUPPORTED_FEATURES } from '../../functions/contract/manifest-keys.ts';
import { renderMarkdown } from './markdown.ts';
import type { DocsPage } from './page.ts';

export interface CompatibilityRow {
  api: string;
  supported: 'yes' | 'partly' | 'no';
  note: string;
  /** The case that shows it; absent: nothing can be tried, as where a global is simply not there. */
  test?: string;
}

export interface CompatibilitySection {
  title: string;
  rows: readonly CompatibilityRow[];
}

const yes = (api: string, test: string, note = ''): CompatibilityRow => ({ api, supported: 'yes', note, test });
const partly = (api: string, test: string, note: string): CompatibilityRow => ({
  api,
  supported: 'partly',
  note,
  test,
});
const no = (api: string, note: string, test?: string): CompatibilityRow => ({
  api,
  supported: 'no',
  note,
  ...(test === undefined ? {} : { test }),
});

/** Bindings and features that a manifest refuses by name. */
const REFUSED: readonly CompatibilityRow[] = Object.entries(UNSUPPORTED_FEATURES).map(([key, feature]) =>
  no(`${feature} (${key})`, 'Refused by name.', `refused:${key}`),
);

export const COMPATIBILITY: readonly CompatibilitySection[] = [
  {
    title: 'Handlers and context',
    rows: [
      yes('export default { fetch }', 'fetch'),
      yes('export default { scheduled }', 'scheduled'),
      yes(
        'export default { queue }',
        'queue',
        'Batches, ack, retry, delays and dead letters as Workers documents them.',
      ),
      yes('export default class extends WorkerEntrypoint', 'entrypoint'),
      no('addEventListener("fetch", …)', 'Write it as a module. Refused at the deploy.', 'service-worker'),
      no('email, tail, trace, alarm', 'Never called: Hearth has no such events.'),
      yes('ctx.waitUntil', 'wait-until', 'At most 30 s after the response.'),
      partly('ctx.passThroughOnException', 'pass-through', 'Accepted; there is no origin behind Hearth to pass on to.'),
      yes('ctx.props', 'props'),
      yes(
        'ctx.exports',
        'ctx-exports',
        'Loopback to own entrypoints, with { props } as well; runs in the same process.',
      ),
    ],
  },
  {
    title: 'Modules that are imported',
    rows: [
      yes('cloudflare:workers: WorkerEntrypoint, RpcTarget, env, waitUntil, exports, withEnv', 'cloudflare-workers'),
      no('cloudflare:workers: DurableObject, WorkflowEntrypoint', 'Refused at the deploy.', 'durable-object-class'),
      yes('cloudflare:node: httpServerHandler', 'http-server-handler', 'Any server that calls listen is served.'),
      no('cloudflare:sockets, cloudflare:email', 'Refused at the deploy; node:net and node:tls are there.', 'sockets'),
      yes('.txt, .html, .sql as text', 'text-import'),
      yes('.bin as ArrayBuffer', 'data-import'),
      yes('.wasm as WebAssembly.Module', 'wasm-import'),
      yes('rules of the manifest: Text, Data, CompiledWasm, ESModule, CommonJS', 'rules'),
      yes(
        'node:* and nodejs_compat',
        'node-modules',
        'With or without the flag. Not what SECURITY.md keeps back, such as node:child_process.',
      ),
    ],
  },
  {
    title: 'Bindings',
    rows: [
      yes('Variables and JSON variables', 'vars', 'Those of text stand in process.env, too.'),
      yes('Secrets', 'secrets'),
      yes('KV', 'kv', 'Strongly consistent here.'),
      yes('Queues', 'queue-producer'),
      yes('Service bindings: fetch, methods, props', 'service'),
      partly('R2', 'r2', 'get, put, head, delete and list; no multipart uploads.'),
      yes('Rate limits', 'rate-limit', 'Each gateway counts for itself.'),
      yes('Version metadata', 'version-metadata', 'tag is hearth.label, or wrangler deploy --tag.'),
      yes('Static assets', 'assets-binding'),
      ...REFUSED,
    ],
  },
  {
    title: 'Static assets',
    rows: [
      yes('Asset-only Workers (no main)', 'assets-only'),
      yes('html_handling', 'assets-html'),
      yes('not_found_handling', 'assets-not-found'),
      yes('run_worker_first', 'assets-worker-first', 'true, or a list of paths, with "!" for exceptions.'),
      yes('etag and 304', 'assets-etag'),
      no('_headers, _redirects, .assetsignore', 'Refused at the deploy.', 'assets-headers'),
      no('Ranges', 'An asset is sent whole.'),
    ],
  },
  {
    title: 'Globals',
    rows: [
      yes('fetch, Request, Response, Headers, FormData, URL, URLPattern, Blob, File', 'web-classes'),
      yes('Response.json, Response.redirect', 'response-json'),
      partly('request.cf', 'request-cf', 'An empty object: nothing is known of a client but its address.'),
      no('fetch(url, { cf }), WebSockets by fetch', 'cf has no effect. A client opens new WebSocket(url).'),
      yes('Streams, TextEncoderStream, CompressionStream', 'streams'),
      yes('IdentityTransformStream', 'identity-stream'),
      partly('FixedLengthStream', 'fixed-length-stream', 'Holds the length; says no content-length by itself.'),
      yes('crypto.subtle, crypto.randomUUID, crypto.getRandomValues', 'web-crypto'),
      yes('crypto.subtle.timingSafeEqual', 'timing-safe-equal'),
      yes('crypto.DigestStream', 'digest-stream', 'MD5, SHA-1, SHA-256, SHA-384 and SHA-512.'),
      yes('WebSocketPair', 'websocket-pair'),
      yes('WebSocket (client)', 'websocket-client'),
      yes('scheduler.wait', 'scheduler-wait'),
      yes('setTimeout, setInterval, queueMicrotask, structuredClone, performance, AbortSignal', 'timers'),
      yes('AsyncLocalStorage (node:async_hooks)', 'async-local-storage'),
      yes('WebAssembly', 'web-assembly', 'From bytes, too, which Workers refuses.'),
      partly('caches, caches.default', 'caches', 'Keeps nothing, so everything is a miss, as on workers.dev.'),
      partly('navigator.userAgent', 'user-agent', "Node's: drivers such as pg misbehave when it says Cloudflare."),
      no('HTMLRewriter', 'Not defined. Rewrite with a parser from npm.', 'html-rewriter'),
      no('EventSource', 'Not defined. Server-sent events are read from the body of a fetch.', 'event-source'),
    ],
  },
  {
    title: 'Configuration',
    rows: [
      yes('wrangler.jsonc, wrangler.json, wrangler.toml', 'wrangler-files'),
      yes('routes, custom domains', 'routes'),
      yes(
        'triggers.crons',
        'scheduled',
        "In wrangler's files weekdays are 1 to 7 for Sunday to Saturday, and read that way.",
      ),
      yes('limits.cpu_ms', 'cpu-limit', 'Bounds one uninterrupted turn of the loop.'),
      partly('compatibility_date, compatibility_flags', 'wrangler-files', 'Recorded; Node is what it is.'),
      partly(
        'env (environments)',
        'wrangler-files',
        'The top level alone counts; wrangler deploy --env deploys the one it names.',
      ),
      partly('observability, placement, logpush of wrangler', 'wrangler-files', 'Accepted, without effect.'),
      no(
        'alias, define, build, tsconfig, no_bundle',
        'Refused by name, as Hearth builds by itself; wrangler deploy does them.',
        'build-keys',
      ),
    ],
  },
];

const INTRO = `# Workers compatibility

Existing Workers projects deploy as they are, by \`hearth deploy\` in their directory or by \`wrangler deploy\` against the
control port: see [Existing Workers projects](workers.md). What Workers has and Hearth does not do is refused by name where it
can be seen at the deploy. Each row that says yes or partly is held by a test that deploys a function and uses it.
`;

export function compatibilityPage(): DocsPage {
  const sections = COMPATIBILITY.map(({ title, rows }) => {
    const lines = rows.map(({ api, supported, note }) => `| ${cell(api)} | ${supported} | ${cell(note)} |`);
    return `## ${title}\n\n| API | supported | note |\n| --- | --- | --- |\n${lines.join('\n')}\n`;
  });
  const { html, title, headings } = renderMarkdown([INTRO, ...sections].join('\n'));
  return { slug: 'compatibility', title, headings, body: html };
}

/** Names hold underscores and stars that mean nothing. */
function cell(text: string): string {
  return text.replace(/[|_*<]/g, '\\$&');
}
