/** The control API as the commands call it: one place for the address, the token, errors and streams. */
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { ERRORS, isErrorCode, type Problem } from '../contract/errors.ts';
import type { Connection } from './connection.ts';
import { ApiFailure, Failure } from './failure.ts';
import { eventsOf, type ServerEvent } from './server-events.ts';
import { type OnSent, sendForm } from './upload.ts';

export interface CallOptions {
  /** Keys without a value are left out. */
  query?: Record<string, string | undefined>;
  /** Sent as JSON. */
  json?: unknown;
  form?: FormData;
  /** With a form: told while it is sent. */
  onSent?: OnSent;
}

export interface Client {
  readonly url: string;
  /** The answer's JSON, `undefined` when it has no body. All of these throw ApiFailure and Failure. */
  call<Answer>(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** The answer as text. */
  text(path: string): Promise<string>;
  /** The answer as it comes. */
  stream(method: string, path: string, options?: CallOptions): Promise<Response>;
  /** Server-sent events until the gateway ends them, however long none comes. */
  events(
    path: string,
    query: Record<string, string | undefined>,
    options?: { signal?: AbortSignal; opened?(): void },
  ): AsyncGenerator<ServerEvent>;
}

export function createClient(connection: Connection): Client {
  const { url, token } = connection;

  const authorization: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` };

  function targetOf(path: string, query: NonNullable<CallOptions['query']>): URL {
    const target = new URL(`${url}${path}`);
    for (const [key, value] of Object.entries(query)) if (value !== undefined) target.searchParams.set(key, value);
    return target;
  }

  async function send(method: string, path: string, options: CallOptions = {}): Promise<Response> {
    const { query = {}, json, form, onSent } = options;
    let response: Response;
    try {
      if (form !== undefined && onSent !== undefined) {
        const sending = { method, headers: authorization, form, onSent };
        response = await asResponse(await sendForm(targetOf(path, query), sending));
      } else
        response = await fetch(targetOf(path, query), {
          method,
          // An answer from elsewhere is not the one asked for.
          redirect: 'manual',
          headers: {
            ...authorization,
            ...(json === undefined ? {} : { 'content-type': 'application/json' }),
          },
          ...(json === undefined ? {} : { body: JSON.stringify(json) }),
          ...(form === undefined ? {} : { body: form }),
        });
    } catch (error) {
      throw unreachable(url, error);
    }
    if (response.ok) return response;
    throw await refusal(connection, response);
  }

  return {
    url,
    async call<Answer>(method: string, path: string, options?: CallOptions) {
      const response = await send(method, path, options);
      const text = await wholeText(url, response);
      if (text === '') return undefined as Answer;
      if (!isJson(response)) throw notTheApi(url, response);
      return JSON.parse(text) as Answer;
    },
    stream: send,
    async text(path) {
      return await wholeText(url, await send('GET', path));
    },
    async *events(path, query, { signal, opened } = {}) {
      const target = targetOf(path, query);
      // Not fetch: it gives up on a body of which nothing has come for five minutes, and functions may be silent longer.
      const request = (target.protocol === 'https:' ? httpsRequest : httpRequest)(target, {
        headers: authorization,
        ...(signal === undefined ? {} : { signal }),
      });
      request.end();
      let response: IncomingMessage;
      try {
        [response] = (await once(request, 'response')) as [IncomingMessage];
      } catch (error) {
        throw unreachable(url, error);
      }
      try {
        if (response.statusCode !== 200) throw await refusal(connection, await asResponse(response));
        opened?.();
        yield* eventsOf(response);
      } finally {
        response.destroy();
      }
    },
  };
}

/** A name as one segment of a path. */
export function segment(name: string): string {
  return encodeURIComponent(name);
}

async function wholeText(url: string, response: Response): Promise<string> {
  try {
    return await response.text();
  } catch (error) {
    throw new Failure(`The answer of ${url} broke off (${reasonOf(error)}).`, 'Look whether Hearth still runs.', error);
  }
}

async function asResponse(response: IncomingMessage): Promise<Response> {
  const text = Buffer.concat(await Array.fromAsync(response as AsyncIterable<Buffer>)).toString();
  const type = response.headers['content-type'] ?? '';
  return new Response(text, { status: response.statusCode ?? 502, headers: { 'content-type': type } });
}

/** What fetch throws says "fetch failed"; why is in its cause. */
function reasonOf(error: unknown): string {
  const cause = ((error as Error).cause ?? error) as NodeJS.ErrnoException;
  return cause.code ?? cause.message;
}

function unreachable(url: string, error: unknown): Failure {
  return new Failure(
    `Nothing answers at ${url} (${reasonOf(error)}).`,
    'Start Hearth with "npm start" in its directory, or say where it is with --url or HEARTH_URL.',
    error,
  );
}

async function refusal({ url, token, tokenFrom }: Connection, response: Response): Promise<Failure> {
  if (!/^application\/problem\+json/.test(response.headers.get('content-type') ?? '')) {
    return notTheApi(url, response);
  }
  const problem = (await response.json()) as Problem;
  if (problem.code !== 'UNAUTHORIZED') return new ApiFailure(withTitle(problem));
  const next =
    token === null
      ? `There is no token in HEARTH_TOKEN, HEARTH_ADMIN_TOKEN or ${tokenFrom}: set one, or run this where Hearth was started.`
      : `The token is that of ${tokenFrom}, and this gateway does not know it.`;
  return new ApiFailure(withTitle(problem), next);
}

function isJson(response: Response): boolean {
  return /^application\/json/.test(response.headers.get('content-type') ?? '');
}

function notTheApi(url: string, { status }: Response): Failure {
  return new Failure(
    `${url} answered ${status}, and not as Hearth's control API does.`,
    'Say with --url or HEARTH_URL where the control API is: port 8081, unless HEARTH_ADMIN_PORT says otherwise.',
  );
}

/** A gateway that is newer may have codes that are not in this table. */
function withTitle(problem: Problem): Problem {
  return { ...problem, title: problem.title ?? (isErrorCode(problem.code) ? ERRORS[problem.code].title : 'Refused') };
}
