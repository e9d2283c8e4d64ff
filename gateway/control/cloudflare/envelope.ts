/** Answers as Cloudflare's API has them: `{success, errors, messages, result}`, failures with a code that its tools know. */
import { type ErrorCode, HearthError, retryAfterOf } from '../../../functions/contract/errors.ts';

/** Codes of Workers' API. wrangler acts on some: 10000 asks to log in, 10007 and 10090 make a Worker. */
export const NO_SUCH_WORKER = 10007;
export const NO_SUCH_SERVICE = 10090;
const NO_SUCH_CALL = 7003;

const CODES: Readonly<Record<ErrorCode, number>> = {
  BAD_REQUEST: 10001,
  UNAUTHORIZED: 10000,
  FORBIDDEN: 10023,
  NO_ROUTE: NO_SUCH_CALL,
  // Never that of a Worker that is still to be made: wrangler would put an empty one in the place of what is there.
  NOT_FOUND: NO_SUCH_CALL,
  CONFLICT: 10020,
  PAYLOAD_TOO_LARGE: 10027,
  BUILD_FAILED: 10021,
  PROBE_FAILED: 10021,
  MANIFEST_INVALID: 10021,
  OVERLOADED: 10429,
  FUNCTION_EXCEPTION: 10013,
  INTERNAL: 10013,
  FUNCTION_CRASHED: 10013,
  NO_CAPACITY: 10013,
  FUNCTION_TIMEOUT: 10013,
  LOOP_DETECTED: 10013,
};

export interface ResultInfo {
  page: number;
  per_page: number;
  count: number;
  total_count: number;
  total_pages: number;
}

/** The whole of a list on one page: none here is long. */
export function onePage(count: number): ResultInfo {
  return { page: 1, per_page: Math.max(count, 1), count, total_count: count, total_pages: 1 };
}

export function success(result: unknown, info?: ResultInfo): Response {
  return Response.json({
    success: true,
    errors: [],
    messages: [],
    result,
    ...(info === undefined ? {} : { result_info: info }),
  });
}

/** `code`: where the table's own says too little. */
export function failure(error: HearthError, code = CODES[error.code]): Response {
  const places = (error.errors ?? []).map(({ message, file, line, column, path }) => {
    const place = file === undefined ? path : `${file}:${line ?? 1}:${column ?? 1}`;
    return place === undefined || message.includes(place) ? message : `${place}: ${message}`;
  });
  const told = places.length === 0 ? [error.message] : places;
  const retryAfter = retryAfterOf(error);
  return Response.json(
    { success: false, errors: told.map((message) => ({ code, message })), messages: [], result: null },
    { status: error.status, headers: retryAfter === null ? {} : { 'retry-after': String(retryAfter) } },
  );
}

/** Thrown where one of Cloudflare's own codes says more than ours. */
export class CloudflareError extends HearthError {
  readonly number: number;

  constructor(code: ErrorCode, number: number, message: string) {
    super(code, message);
    this.number = number;
  }
}

export function noSuchCall(method: string, path: string): CloudflareError {
  const message = `Hearth has no ${method} ${path}: what wrangler can do here is in /docs/workers of the control port.`;
  return new CloudflareError('NOT_FOUND', NO_SUCH_CALL, message);
}
