/** The path that must answer 2xx before a version goes live, asked on the base that proves it. */
import { randomUUID } from 'node:crypto';
import { HearthError } from '../../../functions/contract/errors.ts';
import { type HttpInvokeHead, monotonicMs } from '../../../functions/contract/invocation.ts';
import type { InvokeHandle } from '../api.ts';
import type { FunctionPool } from '../function-pool.ts';

/** Rejects with PROBE_FAILED. */
export function askReady(pool: FunctionPool, readyPath: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const refuse = (what: string) =>
    reject(new HearthError('PROBE_FAILED', `The ready path ${readyPath} ${what}, where 2xx was expected.`));
  const invocation: InvokeHandle = pool.invoke(
    readyCall(readyPath),
    {
      head: (head) => {
        if (head.kind === 'response' && head.status >= 200 && head.status < 300) resolve();
        else refuse(head.kind === 'response' ? `answered ${head.status}` : 'gave no response');
      },
      data: (chunk) => invocation.consumed(chunk.length),
      end: () => undefined,
      failed: (error) => refuse(`failed with ${error.code}: ${error.message}`),
      drain: () => undefined,
      released: () => undefined,
    },
    monotonicMs(),
  );
  invocation.end();
  return promise;
}

function readyCall(readyPath: string): Omit<HttpInvokeHead, 'module' | 'timeoutMs'> {
  return {
    kind: 'invoke',
    trigger: 'http',
    invocationId: `probe-${randomUUID()}`,
    hops: 0,
    traceparent: '',
    method: 'GET',
    url: `http://localhost${readyPath}`,
    headers: [['host', 'localhost']],
    hasBody: false,
    upgrade: false,
    remoteAddress: '127.0.0.1',
  };
}
