/** Calls of the control API. The token goes as a header: never a cookie, which functions on the next port would get. */
import { eventParser } from './events.js';

/** @import { Problem } from './types.d.ts' */

export class ApiError extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

/**
 * @typedef {object} Api
 * @property {<Answer>(path: string, signal?: AbortSignal) => Promise<Answer>} get
 * @property {<Answer>(method: string, path: string, body?: unknown) => Promise<Answer>} send
 *   Objects go as JSON; a FormData as it is; `{ type, text }` as text of that type.
 * @property {(path: string, signal: AbortSignal, opened: () => void, onEvent: (event: string, data: string) => void) => Promise<void>} follow
 *   Resolves when the stream ends.
 */

/**
 * @param {string} token
 * @param {() => void} refused Called when the token is not taken (any more).
 * @returns {Api}
 */
export function createApi(token, refused) {
  /**
   * @param {string} path
   * @param {RequestInit} init
   */
  async function request(path, init) {
    const headers = { ...init.headers, authorization: `Bearer ${token}` };
    let response;
    try {
      response = await fetch(path, { ...init, headers, credentials: 'omit', redirect: 'error' });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      const detail = 'The gateway does not answer. Is it running?';
      throw new ApiError({ code: 'NO_ANSWER', status: 0, detail, errors: [] });
    }
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (problem.status === 401) refused();
    throw new ApiError(problem);
  }

  return {
    async get(path, signal) {
      const response = await request(path, signal === undefined ? {} : { signal });
      return response.json();
    },
    async send(method, path, body) {
      const response = await request(path, { method, ...bodyOf(body) });
      return response.status === 204 ? undefined : response.json();
    },
    async follow(path, signal, opened, onEvent) {
      const response = await request(path, { signal });
      opened();
      const parse = eventParser(onEvent);
      const text = response.body?.pipeThrough(new TextDecoderStream());
      if (text !== undefined) for await (const piece of text) parse(piece);
    },
  };
}

/** @param {unknown} body */
function bodyOf(body) {
  if (body === undefined) return {};
  if (body instanceof FormData) return { body };
  if (isText(body)) return { body: body.text, headers: { 'content-type': body.type } };
  return { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
}

/**
 * @param {unknown} body
 * @returns {body is { type: string, text: string }}
 */
function isText(body) {
  return typeof body === 'object' && body !== null && 'type' in body && 'text' in body;
}

/**
 * @param {Response} response
 * @returns {Promise<Problem>}
 */
async function problemOf(response) {
  const { status } = response;
  const text = await response.text();
  if (!/json/.test(response.headers.get('content-type') ?? '')) {
    return { code: `HTTP ${status}`, status, detail: text.slice(0, 500) || response.statusText, errors: [] };
  }
  const { code = `HTTP ${status}`, detail = '', errors = [] } = JSON.parse(text);
  return { code, status, detail, errors };
}

/**
 * What is shown of anything that was thrown.
 *
 * @param {unknown} error
 * @returns {Problem}
 */
export function problemFrom(error) {
  if (error instanceof ApiError) return error.problem;
  return { code: 'NOT_SENT', status: 0, detail: error instanceof Error ? error.message : String(error), errors: [] };
}
