/**
 * How a flow calls a component in another module: an HTTP request over a service binding, which the base may take to the
 * module in the same base, and the gateway to any other.
 *
 *     POST /{point}/{component}              {input, call}          → 200 {output, compensates}
 *     POST /{point}/{component}/compensate   {input, output, call}  → 200 {compensated}
 *     otherwise                                                     → 4xx, 5xx {error: {code, reason, issues, retryable}}
 */
import type { Fetcher } from '../../contract/handlers.ts';
import { BusinessError, type BusinessErrorOptions, isBusinessErrorCode } from './errors.ts';
import type { Issue } from './schema.ts';

/** What a component learns of its call beside the input. */
export interface CallInfo {
  key: string;
  attempt: number;
  flow: string;
  step: string;
}

export interface RunAnswer {
  output: unknown;
  /** Whether it has to be told when the flow fails later. */
  compensates: boolean;
}

export interface ErrorBody {
  error: { code: string; reason: string; issues: readonly Issue[]; retryable: boolean };
}

export interface RemoteComponent {
  binding: Fetcher;
  point: string;
  component: string;
}

/** Throws BusinessError. */
export async function callRun(
  remote: RemoteComponent,
  input: unknown,
  call: CallInfo,
  signal: AbortSignal,
): Promise<RunAnswer> {
  const answer = (await post(remote, '', { input, call }, signal)) as Partial<RunAnswer>;
  return { output: answer.output, compensates: answer.compensates === true };
}

/** False: it has nothing to undo. Throws BusinessError. */
export async function callCompensate(
  remote: RemoteComponent,
  input: unknown,
  output: unknown,
  call: CallInfo,
  signal: AbortSignal,
): Promise<boolean> {
  const answer = (await post(remote, '/compensate', { input, output, call }, signal)) as { compensated?: unknown };
  return answer.compensated === true;
}

async function post(remote: RemoteComponent, path: string, body: object, signal: AbortSignal): Promise<object> {
  const { binding, point, component } = remote;
  const place = { component };
  let response: Response;
  let text: string;
  try {
    response = await binding.fetch(`http://components/${point}/${component}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal,
    });
    text = await response.text();
  } catch (error) {
    throw notReached(error, component);
  }
  const answer = parse(text);
  if (response.ok && answer !== null) return answer;
  const told = (answer as Partial<ErrorBody> | null)?.error;
  if (isBusinessErrorCode(told?.code)) {
    const { code, reason, issues, retryable } = told;
    throw new BusinessError(code, String(reason), {
      place,
      issues: Array.isArray(issues) ? issues : [],
      retryable: retryable === true,
      // A component that says itself that it failed has cleaned up behind it; one whose own call broke off has not.
      outcomeUnknown: code === 'TIMEOUT' || code === 'ABORTED' || code === 'INVALID_OUTPUT',
    });
  }
  // Its module answers, and not as one made with `components` does: it crashed, or it is another module.
  const reason = `its module answered ${response.status}, and not as one that serves components`;
  throw new BusinessError('COMPONENT_FAILED', reason, {
    place,
    retryable: response.status >= 500,
    outcomeUnknown: true,
  });
}

/** Codes of Hearth's error table that say that the module was not called. */
const NOBODY_THERE = new Set(['NOT_FOUND', 'FORBIDDEN', 'BAD_REQUEST', 'LOOP_DETECTED', 'NO_ROUTE']);
const NOT_NOW = new Set(['OVERLOADED', 'NO_CAPACITY']);

function notReached(error: unknown, component: string): BusinessError {
  const code = (error as { code?: unknown } | null)?.code;
  const reason = error instanceof Error ? error.message : String(error);
  const options: BusinessErrorOptions = { place: { component }, cause: error };
  if (typeof code === 'string' && NOBODY_THERE.has(code)) return new BusinessError('NO_COMPONENT', reason, options);
  const outcomeUnknown = typeof code !== 'string' || !NOT_NOW.has(code);
  return new BusinessError('COMPONENT_FAILED', reason, { ...options, retryable: true, outcomeUnknown });
}

function parse(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' ? value : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
