/**
 * Flows: which components run in which order, as data that is typed while it is written.
 *
 *     defineFlow({
 *       name: 'welcome',
 *       input: campaignRequest,
 *       output: campaignResult,
 *       steps: (flow) =>
 *         flow
 *           .step('members', audience, { from: 'SEGMENTS', component: 'newcomers', input: ({ request }) => … })
 *           .parallel((parts) =>
 *             parts
 *               .step('voucher', voucher, { from: 'VOUCHERS', component: 'percent', input: ({ done }) => done.members… })
 *               .step('greeting', message, { component: greeting, when: ({ request }) => request.greet, input: … }),
 *           ),
 *       result: ({ done }) => ({ … }),
 *     })
 */
import type { AnyComponent, ExtensionPoint } from './points.ts';
import { type InputOf, type OutputOf, requireName, type Schema } from './schema.ts';

/** What a flow knows at one point of its run. */
export interface State<Request, Done> {
  /** As the flow's input schema gave it. */
  readonly request: Request;
  /** Results of the steps before, by their names. */
  readonly done: Done;
}

export interface RetryPolicy {
  /** Calls at most, the first one counted: 1 to 10. */
  attempts: number;
  /** Before the second attempt, ms (default 100); a fifth more or less, by chance. */
  backoffMs?: number;
  /** By what the pause grows each time (default 2). */
  factor?: number;
  /** The longest pause, ms (default 5000). */
  maxBackoffMs?: number;
}

export interface StepOptions<Now, P extends ExtensionPoint> {
  /**
   * The component that fills the point: its name in the module behind `from`, or the component itself. A function
   * chooses by what is known so far.
   */
  component: string | AnyComponent | ((state: Now) => string | AnyComponent);
  /** Name of the service binding behind which the component's module stands. Not needed for a component itself. */
  from?: string;
  input: (state: Now) => InputOf<P['input']>;
  /** After a failure that may pass: what threw, ran out of time or could not be reached. Default: one attempt. */
  retry?: RetryPolicy;
  /** Of one attempt, ms. Default 10,000. */
  timeoutMs?: number;
}

export interface MaybeStepOptions<Now, P extends ExtensionPoint> extends StepOptions<Now, P> {
  /** The step is left out when this says false. */
  when?: (state: Now) => boolean;
  /** The flow goes on when the step fails. */
  optional?: boolean;
}

/** Adds steps one after another; each finds the results of those before it. */
export interface FlowSteps<Request, Done> {
  step<Name extends string, P extends ExtensionPoint>(
    name: Name,
    point: P,
    options: StepOptions<State<Request, Done>, P> & { when?: never; optional?: never },
  ): FlowSteps<Request, Done & { readonly [N in Name]: OutputOf<P['output']> }>;
  /** With a condition, or optional: its result may be missing. */
  step<Name extends string, P extends ExtensionPoint>(
    name: Name,
    point: P,
    options: MaybeStepOptions<State<Request, Done>, P>,
  ): FlowSteps<Request, Done & { readonly [N in Name]?: OutputOf<P['output']> }>;
  /** All of them at the same time; the next step begins when the last one has ended. */
  parallel<New>(
    parts: (parts: ParallelSteps<Request, Done, unknown>) => ParallelSteps<Request, Done, New>,
  ): FlowSteps<Request, Done & New>;
  readonly parts: readonly FlowPart[];
}

/** Steps beside each other: none finds the results of the others. */
export interface ParallelSteps<Request, Done, New> {
  step<Name extends string, P extends ExtensionPoint>(
    name: Name,
    point: P,
    options: StepOptions<State<Request, Done>, P> & { when?: never; optional?: never },
  ): ParallelSteps<Request, Done, New & { readonly [N in Name]: OutputOf<P['output']> }>;
  step<Name extends string, P extends ExtensionPoint>(
    name: Name,
    point: P,
    options: MaybeStepOptions<State<Request, Done>, P>,
  ): ParallelSteps<Request, Done, New & { readonly [N in Name]?: OutputOf<P['output']> }>;
  readonly steps: readonly FlowStep[];
}

type AnyState = State<unknown, unknown>;

/** A step as it is run. */
export interface FlowStep {
  readonly name: string;
  readonly point: ExtensionPoint;
  readonly component: string | AnyComponent | ((state: AnyState) => string | AnyComponent);
  readonly from: string | null;
  readonly input: (state: AnyState) => unknown;
  readonly when: ((state: AnyState) => boolean) | null;
  readonly optional: boolean;
  readonly retry: Required<RetryPolicy>;
  readonly timeoutMs: number;
}

/** Steps that run beside each other: one, or those of a `parallel`. */
export type FlowPart = readonly FlowStep[];

export interface Flow<In extends Schema = Schema, Out extends Schema = Schema> {
  readonly name: string;
  readonly description: string;
  readonly input: In;
  readonly output: Out;
  readonly parts: readonly FlowPart[];
  readonly result: (state: State<never, never>) => unknown;
}

/** Throws TypeError when a name is bad or stands there twice, or a policy is out of its range. */
export function defineFlow<In extends Schema, Out extends Schema, Done>(options: {
  name: string;
  description?: string;
  input: In;
  output: Out;
  steps: (flow: FlowSteps<OutputOf<In>, unknown>) => FlowSteps<OutputOf<In>, Done>;
  result: (state: State<OutputOf<In>, Done>) => InputOf<Out>;
}): Flow<In, Out> {
  const { name, description = '', input, output, steps, result } = options;
  requireName('Flow', name);
  const names = new Set<string>();
  const { parts } = steps(new Steps([], names) as unknown as FlowSteps<OutputOf<In>, unknown>);
  if (parts.length === 0) throw new TypeError(`Flow ${name} has no steps.`);
  return { name, description, input, output, parts, result: result as (state: State<never, never>) => unknown };
}

/** What the typed interfaces above are at run time: one list that grows. */
class Steps {
  readonly parts: readonly FlowPart[];
  readonly #names: Set<string>;

  constructor(parts: readonly FlowPart[], names: Set<string>) {
    this.parts = parts;
    this.#names = names;
  }

  /** What a `parallel` has gathered. */
  get steps(): readonly FlowStep[] {
    return this.parts.flat();
  }

  step(name: string, point: ExtensionPoint, options: MaybeStepOptions<AnyState, ExtensionPoint>): Steps {
    if (this.#names.has(name)) throw new TypeError(`Step ${name} stands in its flow twice.`);
    this.#names.add(name);
    return new Steps([...this.parts, [checkedStep(name, point, options)]], this.#names);
  }

  parallel(parts: (parts: Steps) => Steps): Steps {
    const { steps } = parts(new Steps([], this.#names));
    if (steps.length === 0) throw new TypeError('A parallel part has no steps.');
    return new Steps([...this.parts, steps], this.#names);
  }
}

const DEFAULT_TIMEOUT_MS = 10_000;
const MOST_TIMEOUT_MS = 24 * 60 * 60 * 1000;

function checkedStep(
  name: string,
  point: ExtensionPoint,
  options: MaybeStepOptions<AnyState, ExtensionPoint>,
): FlowStep {
  requireName('Step', name);
  const { component, from = null, input, when = null, optional = false, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  const { attempts = 1, backoffMs = 100, factor = 2, maxBackoffMs = 5_000 } = options.retry ?? {};
  const within = (what: string, value: number, low: number, high: number): void => {
    if (value >= low && value <= high) return;
    throw new TypeError(`Step ${name}: ${what} is ${value}, allowed is ${low} to ${high}.`);
  };
  within('timeoutMs', timeoutMs, 1, MOST_TIMEOUT_MS);
  within('retry.attempts', attempts, 1, 10);
  within('retry.backoffMs', backoffMs, 0, 60_000);
  within('retry.factor', factor, 1, 10);
  within('retry.maxBackoffMs', maxBackoffMs, 0, 60_000);
  if (!Number.isInteger(attempts)) throw new TypeError(`Step ${name}: retry.attempts is not a whole number.`);
  if (typeof component === 'string' && from === null) {
    throw new TypeError(`Step ${name}: "from" has to name the binding behind which component ${component} stands.`);
  }
  const retry = { attempts, backoffMs, factor, maxBackoffMs };
  return { name, point, component, from, input, when, optional, retry, timeoutMs };
}
