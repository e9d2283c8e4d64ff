/**
 * The one table of errors. Every answer that is not the function's own carries one of these codes; users match on
 * them, the docs page of errors is made from this table, and errors cross processes as `{code, message, stack}` and
 * come back as the same code.
 */

export type Fault = 'caller' | 'function' | 'platform';

interface ErrorEntry {
  /** HTTP status of the answer. */
  status: number;
  /** Whether the same request may succeed later, unchanged. */
  retryable: boolean;
  /** Who has to act. */
  fault: Fault;
  title: string;
  /** What to do, shown when the error's own detail does not say it. */
  advice: string;
}

export const ERRORS = {
  BAD_REQUEST: {
    status: 400,
    retryable: false,
    fault: 'caller',
    title: 'Malformed request',
    advice: 'Mend what the detail names; calls of the control API are described in its /openapi.json.',
  },
  UNAUTHORIZED: {
    status: 401,
    retryable: false,
    fault: 'caller',
    title: 'No valid token',
    advice: 'Send "authorization: Bearer TOKEN"; the admin token is in <data directory>/admin-token.',
  },
  FORBIDDEN: {
    status: 403,
    retryable: false,
    fault: 'caller',
    title: 'Not allowed',
    advice: 'Where the detail names a scope, use a token that has it.',
  },
  NO_ROUTE: {
    status: 404,
    retryable: false,
    fault: 'caller',
    title: 'Nothing is published here',
    advice: 'Deploy a function of that name, or publish a route that matches.',
  },
  NOT_FOUND: {
    status: 404,
    retryable: false,
    fault: 'caller',
    title: 'Not found',
    advice: 'List what exists with the GET call of the same resource.',
  },
  CONFLICT: {
    status: 409,
    retryable: false,
    fault: 'caller',
    title: 'Conflict with what exists',
    advice: 'Read the current state, then send the change again.',
  },
  PAYLOAD_TOO_LARGE: {
    status: 413,
    retryable: false,
    fault: 'caller',
    title: 'Body over its limit',
    advice: 'Send less, or raise the setting where the detail names one.',
  },
  BUILD_FAILED: {
    status: 422,
    retryable: false,
    fault: 'caller',
    title: 'The source does not build',
    advice: 'Mend the file, line and column named in errors, then deploy again; the running version was left alone.',
  },
  PROBE_FAILED: {
    status: 422,
    retryable: false,
    fault: 'caller',
    title: 'The code does not load on a base',
    advice: 'Mend what the detail names, then deploy again; the running version was left alone.',
  },
  MANIFEST_INVALID: {
    status: 422,
    retryable: false,
    fault: 'caller',
    title: 'The manifest is not valid',
    advice: 'Mend the keys named in errors, then deploy again; the running version was left alone.',
  },
  OVERLOADED: {
    status: 429,
    retryable: true,
    fault: 'caller',
    title: 'The function is at its limit',
    advice:
      'Send again after retry-after seconds. Raise concurrency or maxInstances, or, where the detail speaks of quarantine, deploy a version that does not take down its host.',
  },
  FUNCTION_EXCEPTION: {
    status: 500,
    retryable: false,
    fault: 'function',
    title: 'The function threw',
    advice: "Read the function's log under this invocation id.",
  },
  INTERNAL: {
    status: 500,
    retryable: true,
    fault: 'platform',
    title: 'Hearth failed',
    advice: "Read the gateway's log; this is a defect of Hearth.",
  },
  FUNCTION_CRASHED: {
    status: 502,
    retryable: true,
    fault: 'function',
    title: 'The base of the function died',
    advice: "Read the function's log: it or a neighbour of its trust group ended the process or ran out of memory.",
  },
  NO_CAPACITY: {
    status: 503,
    retryable: true,
    fault: 'platform',
    title: 'No capacity',
    advice:
      'Send again after retry-after seconds. Where it is the pool that stays full, raise HEARTH_MAX_BASES or HEARTH_MEMORY_MB, or its own size.',
  },
  FUNCTION_TIMEOUT: {
    status: 504,
    retryable: false,
    fault: 'function',
    title: 'The function ran out of time',
    advice: 'Answer sooner, move work to ctx.waitUntil or a queue, or raise hearth.timeoutMs.',
  },
  LOOP_DETECTED: {
    status: 508,
    retryable: false,
    fault: 'function',
    title: 'Functions call each other in a circle',
    advice: 'Break the circle: at most 16 hops are allowed.',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** One place in a deployed source or manifest that has to be mended. Lines and columns count from 1. */
export interface SourceError {
  message: string;
  file?: string | undefined;
  line?: number | undefined;
  column?: number | undefined;
  /** Manifest key as a path, such as `triggers.crons.0`. */
  path?: string | undefined;
}

export interface HearthErrorOptions {
  /** Places to mend, for BUILD_FAILED, MANIFEST_INVALID and BAD_REQUEST. */
  errors?: SourceError[] | undefined;
  /** Seconds until a retry makes sense; becomes the `retry-after` header. */
  retryAfterS?: number | undefined;
  /** For the owner's log only: the stack as the function saw it. Never leaves over HTTP. */
  functionStack?: string | undefined;
  /** What to do, where the table's own advice is not it. */
  advice?: string | undefined;
  cause?: unknown;
}

/** An error with a stable code. The message says what happened and is shown to the caller. */
export class HearthError extends Error {
  readonly code: ErrorCode;
  readonly errors: SourceError[] | undefined;
  readonly retryAfterS: number | undefined;
  readonly functionStack: string | undefined;
  readonly advice: string | undefined;

  constructor(code: ErrorCode, message: string, options: HearthErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'HearthError';
    this.code = code;
    this.errors = options.errors;
    this.retryAfterS = options.retryAfterS;
    this.functionStack = options.functionStack;
    this.advice = options.advice;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }
}

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERRORS, value);
}

/** Anything thrown, as a HearthError: itself when it is one, else INTERNAL with the original as cause. */
export function toHearthError(thrown: unknown): HearthError {
  if (thrown instanceof HearthError) return thrown;
  return new HearthError('INTERNAL', 'Hearth failed to handle the request.', { cause: thrown });
}

/** Whole seconds for the `retry-after` header, which each answer to be sent again later has; null: none. */
export function retryAfterOf({ code, retryAfterS }: HearthError): number | null {
  if (retryAfterS !== undefined) return Math.max(1, Math.ceil(retryAfterS));
  return code === 'NO_CAPACITY' || code === 'OVERLOADED' ? 1 : null;
}

/** RFC 9457 problem details. `instance` names the invocation where there is one. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  code: ErrorCode;
  detail: string;
  instance?: string;
  errors?: SourceError[];
}

/** The body for `application/problem+json`. Holds no stack and no cause. */
export function toProblem(error: HearthError, invocationId?: string): Problem {
  const entry = ERRORS[error.code];
  const advice = error.advice ?? entry.advice;
  return {
    type: `/docs/errors#${error.code.toLowerCase()}`,
    title: entry.title,
    status: entry.status,
    code: error.code,
    detail: error.message.endsWith(advice) ? error.message : `${sentence(error.message)} ${advice}`,
    ...(invocationId === undefined ? {} : { instance: `/v1/invocations/${invocationId}` }),
    ...(error.errors === undefined ? {} : { errors: error.errors }),
  };
}

/** What a function threw seldom ends like a sentence. */
function sentence(message: string): string {
  return /[.!?]$/.test(message) ? message : `${message}.`;
}
