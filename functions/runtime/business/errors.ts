/** What goes wrong in a business, as one class with a stable code, and the place where it happened. */
import type { Issue } from './schema.ts';

export type BusinessErrorCode =
  /** A value is not what the schema says: the request of a business, or what a flow made for a step. */
  | 'INVALID_INPUT'
  /** A component, or the flow itself, made something that its schema refuses. */
  | 'INVALID_OUTPUT'
  /** A function of the flow itself threw: a condition, the making of an input, the result. */
  | 'FLOW_BROKEN'
  /** No template for this request. */
  | 'NO_TEMPLATE'
  /** Nobody implements what the step names. */
  | 'NO_COMPONENT'
  /** A component threw, or its module could not be reached. */
  | 'COMPONENT_FAILED'
  /** A step took longer than it may. */
  | 'TIMEOUT'
  /** The caller has gone, or a part beside this one failed. */
  | 'ABORTED';

const CODES: ReadonlySet<string> = new Set<BusinessErrorCode>([
  'INVALID_INPUT',
  'INVALID_OUTPUT',
  'FLOW_BROKEN',
  'NO_TEMPLATE',
  'NO_COMPONENT',
  'COMPONENT_FAILED',
  'TIMEOUT',
  'ABORTED',
]);

export function isBusinessErrorCode(code: unknown): code is BusinessErrorCode {
  return typeof code === 'string' && CODES.has(code);
}

/** Where it happened; what is not known is absent. */
export interface Place {
  business?: string;
  flow?: string;
  step?: string;
  component?: string;
}

export interface BusinessErrorOptions {
  place?: Place;
  issues?: readonly Issue[];
  /** Whether the same call may go well when it is made again. */
  retryable?: boolean;
  /** The component was called, and nobody can say what it did: it has to be compensated as if it had gone well. */
  outcomeUnknown?: boolean;
  cause?: unknown;
}

/** `message` names the place and each field, so that a log line alone says what to mend. */
export class BusinessError extends Error {
  override readonly name = 'BusinessError';
  readonly code: BusinessErrorCode;
  readonly place: Place;
  readonly issues: readonly Issue[];
  readonly retryable: boolean;
  readonly outcomeUnknown: boolean;
  /** What went wrong, without the place. */
  readonly reason: string;

  constructor(code: BusinessErrorCode, reason: string, options: BusinessErrorOptions = {}) {
    const { place = {}, issues = [], retryable = false, outcomeUnknown = false, cause } = options;
    super(sentence(place, reason), cause === undefined ? undefined : { cause });
    this.code = code;
    this.reason = reason;
    this.place = place;
    this.issues = issues;
    this.retryable = retryable;
    this.outcomeUnknown = outcomeUnknown;
  }

  /** The same with what is known of the place by whoever passes it on; what was known already stays. */
  at(place: Place): BusinessError {
    return new BusinessError(this.code, this.reason, { ...this.#options(), place: { ...place, ...this.place } });
  }

  withOutcomeUnknown(): BusinessError {
    return new BusinessError(this.code, this.reason, { ...this.#options(), outcomeUnknown: true });
  }

  #options(): BusinessErrorOptions {
    const { place, issues, retryable, outcomeUnknown, cause } = this;
    return { place, issues, retryable, outcomeUnknown, ...(cause === undefined ? {} : { cause }) };
  }
}

/** `what`: `input`, `output` or `request`. */
export function invalid(what: 'input' | 'output' | 'request', issues: readonly Issue[], place: Place): BusinessError {
  const named = issues.map(({ field, message }) => ({ field: field === '' ? what : `${what}.${field}`, message }));
  const reason = named.map(({ field, message }) => `${field}: ${message}`).join('; ');
  // Who made a wrong output has done something by then.
  const code = what === 'output' ? 'INVALID_OUTPUT' : 'INVALID_INPUT';
  return new BusinessError(code, reason, { place, issues: named, outcomeUnknown: what === 'output' });
}

/** Thrown by a component that knows better than to be called again: a refusal rather than a mishap. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
}

/** Whatever a component threw. */
export function fromThrown(error: unknown, place: Place): BusinessError {
  if (error instanceof BusinessError) return error.at(place);
  const reason = error instanceof Error ? error.message : String(error);
  // By name: a component may have the class from another copy of this library.
  const retryable = !(error instanceof Error && error.name === 'Refusal');
  return new BusinessError('COMPONENT_FAILED', reason, { place, retryable, cause: error });
}

/** Calls what the flow's author wrote. `what` names it: `when`, `input`, `component`, `result`, `choose`. */
export function callOwn<T>(what: string, place: Place, own: () => T): T {
  try {
    return own();
  } catch (error) {
    const reason = `${what} threw ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`;
    throw new BusinessError('FLOW_BROKEN', reason, { place, cause: error });
  }
}

function sentence({ business, flow, step, component }: Place, reason: string): string {
  const where = [
    ...(business === undefined ? [] : [`business ${business}`]),
    ...(flow === undefined ? [] : [`flow ${flow}`]),
    ...(step === undefined ? [] : [`step ${step}`]),
    ...(component === undefined ? [] : [`component ${component}`]),
  ].join(', ');
  return where === '' ? reason : `${where}: ${reason}`;
}
