/** Every failure of the control API as `application/problem+json` with a code of the error table. */
import { HTTPException } from 'hono/http-exception';
import type { ZodError } from 'zod';
import {
  HearthError,
  retryAfterOf,
  type SourceError,
  toHearthError,
  toProblem,
} from '../../functions/contract/errors.ts';
import { MAX_JSON_DEPTH } from '../../pool/link/json-depth.ts';

export const PROBLEM_TYPE = 'application/problem+json';

interface ProblemOptions {
  /** Instead of the code's own, where HTTP has a more exact one (405). */
  status?: number;
  headers?: Record<string, string>;
  /** The invocation that failed: where to ask for more, and what the function's log lines carry. */
  invocationId?: string | undefined;
}

export function problemResponse(error: HearthError, options: ProblemOptions = {}): Response {
  const problem = toProblem(error, options.invocationId);
  const status = options.status ?? problem.status;
  const retryAfter = retryAfterOf(error);
  return new Response(JSON.stringify({ ...problem, status }), {
    status,
    headers: {
      'content-type': PROBLEM_TYPE,
      ...(retryAfter === null ? {} : { 'retry-after': String(retryAfter) }),
      ...(error.code === 'UNAUTHORIZED' ? { 'www-authenticate': 'Bearer realm="hearth"' } : {}),
      ...options.headers,
    },
  });
}

/** Anything a handler or Hono itself threw. What is no error of the caller's comes back as INTERNAL with its cause. */
export function asHearthError(thrown: unknown): HearthError {
  if (!(thrown instanceof HTTPException)) return toHearthError(thrown);
  if (thrown.status === 415) {
    return new HearthError('BAD_REQUEST', 'The content type is not one this call takes; send application/json.');
  }
  if (thrown.status === 413) return new HearthError('PAYLOAD_TOO_LARGE', thrown.message);
  if (thrown.status < 500) return new HearthError('BAD_REQUEST', thrown.message || 'The request is malformed.');
  return toHearthError(thrown);
}

const TARGETS: Record<string, string> = { json: 'body', query: 'query', param: 'path', header: 'header' };

/** What zod found in one part of a request, key by key. */
export function invalidRequest(target: string, error: ZodError): HearthError {
  const part = TARGETS[target] ?? target;
  const errors = error.issues.flatMap((issue): SourceError[] => {
    const extras = issue.code === 'unrecognized_keys' ? issue.keys : [undefined];
    return extras.map((extra) => ({
      message: extra === undefined ? sentence(issue.message) : 'no such key',
      path: [part, ...issue.path, ...(extra === undefined ? [] : [extra])].map(String).join('.'),
    }));
  });
  const first = errors[0];
  const detail =
    first === undefined ? `The ${part} is not valid.` : `${first.path}: ${first.message.replace(/\.$/, '')}.`;
  return new HearthError('BAD_REQUEST', detail, { errors });
}

const ABSENT = /expected (.*), received undefined$/;

/** What zod says of a key that is not there ("Invalid input: expected string, received undefined"), in plain words. */
function sentence(message: string): string {
  const kind = ABSENT.exec(message)?.[1];
  if (kind === undefined) return message;
  return kind === 'nonoptional' ? 'missing' : `missing, expected ${kind}`;
}

/** Of a body for which isTooDeep holds. */
export function tooDeep(): HearthError {
  return new HearthError('BAD_REQUEST', `The body nests more than ${MAX_JSON_DEPTH} arrays and objects in each other.`);
}
