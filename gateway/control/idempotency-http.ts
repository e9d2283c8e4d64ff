/** `idempotency-key` on the calls of the control API that make functions run or put messages into queues. */
import type { Context } from 'hono';
import { ERRORS } from '../../functions/contract/errors.ts';
import type { ControlApp, ControlEnv } from './http.ts';
import { type IdempotencyParts, idempotent, MAX_KEPT_BYTES, type Work } from './idempotency.ts';
import { asHearthError } from './problems.ts';

const PATHS = ['/v1/functions/:name/invoke', '/v1/rpc/*', '/v1/queues/:name/messages'];

/** Has to stand before the resources whose calls these are. */
export function idempotencyKeys(app: ControlApp, parts: IdempotencyParts): void {
  for (const path of PATHS) {
    app.use(path, async (c, next) => {
      const key = c.req.header('idempotency-key');
      if (key === undefined || c.req.method !== 'POST') return next();
      const { pathname, search } = new URL(c.req.url);
      const ask = {
        // A token's keys are its own; the path names the call and whom it is for.
        scope: `${c.get('caller').id} ${pathname}`,
        key,
        request: [search, c.req.header('content-type') ?? '', new Uint8Array(await c.req.arrayBuffer())],
      };
      const outcome = await idempotent(parts, ask, () => handled(c, next));
      if (outcome.replayed) {
        const { status, headers } = outcome.answer.head as AnswerHead;
        c.res = new Response(outcome.answer.body.byteLength === 0 ? null : new Uint8Array(outcome.answer.body), {
          status,
          headers: [...headers, ['idempotent-replayed', 'true']],
        });
      } else if (!outcome.kept && outcome.answer === 'given') {
        c.res.headers.set('idempotent-kept', 'false');
      }
      return;
    });
  }
}

interface AnswerHead {
  status: number;
  headers: [name: string, value: string][];
}

/** `refused`: nothing was done, so that nobody expects it to be kept. */
async function handled(c: Context<ControlEnv>, next: () => Promise<void>): Promise<Work<'given' | 'refused'>> {
  await next();
  if (!isFinal(c)) return { answer: 'refused', keep: null };
  const { res } = c;
  const head: AnswerHead = { status: res.status, headers: [...res.headers] };
  const { read, rest } = await beginningOf(res.body);
  // Read above: what goes out is made of it.
  c.res = new Response(rest ?? (read.byteLength === 0 ? null : read), { status: res.status, headers: res.headers });
  return { answer: 'given', keep: { head, body: read } };
}

/**
 * Whether the same request would not do any better: it was answered, or failed by the function's own doing. What was
 * refused, and what the error table says may succeed later, leaves the key free.
 */
function isFinal(c: Context<ControlEnv>): boolean {
  if (c.error === undefined) return c.res.status < 400;
  const { fault, retryable } = ERRORS[asHearthError(c.error).code];
  return fault === 'function' && !retryable;
}

/** The body, or so much of it as shows that it is too large to keep; then `rest` is all of it, as it comes. */
async function beginningOf(
  body: ReadableStream<Uint8Array> | null,
): Promise<{ read: Uint8Array<ArrayBuffer>; rest: ReadableStream<Uint8Array> | null }> {
  if (body === null) return { read: new Uint8Array(0), rest: null };
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  while (size <= MAX_KEPT_BYTES) {
    const { done, value } = await reader.read();
    if (done) return { read: Buffer.concat(chunks), rest: null };
    chunks.push(value);
    size += value.byteLength;
  }
  const read = Buffer.concat(chunks);
  const rest = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(read),
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
  return { read, rest };
}
