/**
 * A base is warm only when it has served: the first load and the first calls in a thread cost several times what later
 * ones do. A canned module is loaded over the real link, called, and taken out again.
 */
import type { HttpInvokeHead, LoadHead } from '../../functions/contract/invocation.ts';
import type { ExchangeHandler, LinkError } from '../link/link.ts';
import type { Base } from './base.ts';

/** Rounds of load and calls. See bench: more rounds cost CPU at each boot and gain less and less. */
const LOADS = 3;
const CALLS = 12;

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

/** Resolves when the base has served; rejects when it could not. */
export async function rehearse(base: Base): Promise<void> {
  for (let round = 0; round < LOADS; round++) {
    const module = `rehearsal-${round}`;
    // As in production: load and first call travel together.
    await Promise.all([load(base, module), call(base, module, 0)]);
    for (let n = 1; n < CALLS; n += 2) await Promise.all([call(base, module, n), call(base, module, n + 1)]);
    base.tell({ event: 'unload', module });
  }
}

function load(base: Base, module: string): Promise<void> {
  const head: LoadHead = {
    kind: 'load',
    module,
    functionName: 'rehearsal',
    version: '0',
    format: 'cjs',
    codeBytes: CODE.length,
    cacheBytes: 0,
    filesDir: null,
    rehearsal: true,
    vars: {},
    jsonVars: {},
    bindings: [],
    network: 'all',
    cpuMs: 0,
    memoryMb: 0,
    wantCodeCache: false,
  };
  return finished(base, head, Buffer.from(CODE));
}

const JSON_BODY = Buffer.from('{"a":1,"b":["two"]}');

function call(base: Base, module: string, n: number): Promise<void> {
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

function finished(base: Base, head: object, body: Uint8Array | null): Promise<void> {
  return new Promise((resolve, reject) => {
    let answered = false;
    const handler: ExchangeHandler = {
      head: () => {
        answered = true;
      },
      data: (chunk) => exchange.consumed(chunk.length),
      end: () => undefined,
      drain: () => undefined,
      closed: (error: LinkError | null) => {
        if (answered && error === null) resolve();
        else reject(new Error(`rehearsal: ${error === null ? 'no answer' : `${error.code} ${error.message}`}`));
      },
    };
    const exchange = base.open(head, handler, body, true);
  });
}
