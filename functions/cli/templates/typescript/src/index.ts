import { greet } from './greet.ts';

/** The bindings of hearth.jsonc. */
interface Env {
  GREETING: string;
}

export default {
  fetch(request: Request, env: Env): Response {
    const url = new URL(request.url);
    if (url.pathname !== '/') return Response.json({ error: `nothing at ${url.pathname}` }, { status: 404 });
    return Response.json({ message: greet(env.GREETING, url.searchParams.get('name') ?? 'world') });
  },
};
