/**
 * A base is warm only when it has served: the first load and the first calls in a thread cost several times what later
 * ones do. A canned module is loaded over the real link, called, and taken out again.
 */
import type { HttpInvokeHead, LoadHead } from '../../../functions/contract/invocation.ts';
import type { ExchangeHandler, LinkError } from '../../link/link.ts';
import type { Base } from './base.ts';
import { libraryRehearsal } from './rehearsal-libraries.ts';

/** Rounds of load and calls. See bench: more rounds cost CPU at each boot and gain less and less. */
const LOADS = 3;
const CALLS = 12;
const LIBRARY_CALLS = 1;

const CODE = Buffer.from(`'use strict';
const greet = (name) => 'hello ' + name;
module.exports = { default: { async fetch(request, env, ctx) {
  const url = new URL(request.url);
  if (request.method === 'POST') {
    const body = await request.json();
    return Response.json({ path: url.pathname, body, length: request.headers.get('content-length') });
  }
  return new Response(greet(url.pathname), { headers: { 'content-type': 'text/plain' } });
} } };
`);

/** Resolves when the base has served; rejects when it could not. `shared`: specifiers of what it provides. */
export async function rehearse(base: Base, shared: readonly string[]): Promise<void> {
  const libraries = libraryRehearsal(shared);
  if (libraries !== null) await round(base, 'rehearsal-libraries', Buffer.from(libraries), LIBRARY_CALLS);
  let codeCache: Uint8Array | null = null;
  for (let count = 0; count < LOADS; count++) {
    codeCache = await round(base, `rehearsal-${count}`, CODE, CALLS, codeCache);
  }
}

/** Resolves with the code cache, as made by the probe of a deploy, unless it is given one. */
async function round(
  base: Base,
  module: string,
  code: Uint8Array,
  calls: number,
  codeCache: Uint8Array | null = null,
): Promise<Uint8Array> {
  // As in production: load and first call travel together.
  const [made] = await Promise.all([load(base, module, code, codeCache), call(base, module, 0)]);
  for (let n = 1; n < calls; n += 2) await Promise.all([call(base, module, n), call(base, module, n + 1)]);
  base.tell({ event: 'unload', module });
  return codeCache ?? made;
}

function load(base: Base, module: string, code: Uint8Array, codeCache: Uint8Array | null): Promise<Uint8Array> {
  const head: LoadHead = {
    kind: 'load',
    module,
    functionName: 'rehearsal',
    version: '0',
    format: 'cjs',
    codeBytes: code.length,
    cacheBytes: codeCache?.length ?? 0,
    filesDir: null,
    rehearsal: true,
    vars: {},
    jsonVars: {},
    bindings: [],
    network: 'all',
    cpuMs: 0,
    memoryMb: 0,
    wantCodeCache: codeCache === null,
  };
  return finished(base, head, codeCache === null ? Buffer.from(code) : Buffer.concat([code, codeCache]));
}

const JSON_BODY = Buffer.from('{"a":1,"b":["two"]}');

function call(base: Base, module: string, n: number): Promise<Uint8Array> {
  const post = n % 4 === 3;
  const head: HttpInvokeHead = {
    kind: 'invoke',
    trigger: 'http',
    module,
    invocationId: `rehearsal-${n}`,
    hops: 0,
    traceparent: '00-00000000000000000000000000000001-0000000000000001-00',
    timeoutMs: 10_000,
    method: post ? 'POST' : 'GET',
    url: 'http://rehearsal.localhost/some/path?and=query',
    headers: [
      ['host', 'rehearsal.localhost'],
      ['user-agent', 'hearth'],
      ['accept', '*/*'],
      ...(post ? ([['content-length', String(JSON_BODY.length)]] as [string, string][]) : []),
    ],
    hasBody: post,
    upgrade: false,
    remoteAddress: '127.0.0.1',
  };
  return finished(base, head, post ? Buffer.from(JSON_BODY) : null);
}

/** Resolves with the body of the answer. */
function finished(base: Base, head: object, body: Uint8Array | null): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let answered = false;
    const handler: ExchangeHandler = {
      head: () => {
        answered = true;
      },
      data: (chunk) => {
        chunks.push(chunk);
        exchange.consumed(chunk.length);
      },
      end: () => undefined,
      drain: () => undefined,
      closed: (error: LinkError | null) => {
        if (answered && error === null) resolve(Buffer.concat(chunks));
        else reject(new Error(`rehearsal: ${error === null ? 'no answer' : `${error.code} ${error.message}`}`));
      },
    };
    const exchange = base.open(head, handler, body, true);
  });
}
