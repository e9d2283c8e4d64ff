import { setTimeout as delay } from 'node:timers/promises';
import { eventAt, frame } from './feed.ts';
import { page } from './page.ts';

/** Comment lines between events keep proxies and Hearth's idle limit from ending a quiet stream. */
const HEARTBEAT_MS = 10_000;
/** At most so many missed events are sent again. */
const REPLAY = 100;

export default {
  fetch(request: Request): Response {
    const url = new URL(request.url);
    if (url.pathname === '/') {
      const prefix = request.headers.get('x-forwarded-prefix') ?? '';
      return new Response(page(`${prefix}/events`), { headers: { 'content-type': 'text/html; charset=utf-8' } });
    }
    if (url.pathname !== '/events') return Response.json({ error: 'ask for /events' }, { status: 404 });

    const everyMs = Number(url.searchParams.get('everyMs') ?? 1000);
    if (!Number.isInteger(everyMs) || everyMs < 20 || everyMs > 60_000) {
      return Response.json({ error: 'everyMs: a whole number from 20 to 60000' }, { status: 400 });
    }
    // A browser sends the header by itself when it connects again.
    const seen = Number(request.headers.get('last-event-id') ?? Number.NaN);

    const gone = new AbortController();
    const events = stream(everyMs, seen, AbortSignal.any([request.signal, gone.signal]));
    const body = new ReadableStream<Uint8Array>({
      // Pulled, never pushed: a slow reader gets its events later, and nothing piles up here.
      async pull(controller) {
        const next = await events.next();
        if (next.done) controller.close();
        else controller.enqueue(next.value);
      },
      cancel: () => gone.abort(),
    });
    return new Response(body, { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' } });
  },
};

async function* stream(everyMs: number, seen: number, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
  const now = () => Math.floor(Date.now() / everyMs);
  let next = Number.isInteger(seen) && seen < now() ? Math.max(seen + 1, now() - REPLAY) : now();
  let quietSince = Date.now();
  yield frame(`retry: 2000\n\n`);
  while (!signal.aborted) {
    if (next <= now()) {
      yield frame(`id: ${next}\nevent: quote\ndata: ${JSON.stringify(eventAt(next))}\n\n`);
      next += 1;
      quietSince = Date.now();
      continue;
    }
    const waitMs = Math.min(next * everyMs - Date.now(), HEARTBEAT_MS);
    // Ends early when the client has gone.
    await delay(Math.max(waitMs, 1), undefined, { signal }).catch(() => undefined);
    if (Date.now() - quietSince >= HEARTBEAT_MS) {
      yield frame(': still here\n\n');
      quietSince = Date.now();
    }
  }
}
