/**
 * Runs a flow: its parts one after another, the steps of a part beside each other. When one fails, those beside it are
 * aborted, and what was done is undone in reverse order.
 *
 *   step    (left out) skipped │ running ──► done ──────────────► compensated │ compensation-failed
 *                                   └──────► failed │ tolerated
 */
import type { Logger, StartSpan } from '../../contract/handlers.ts';
import { STEP_ATTR } from '../../contract/span.ts';
import { withRetries } from './attempts.ts';
import { type Clock, realClock } from './clock.ts';
import { BusinessError, callOwn, fromThrown, invalid, type Place } from './errors.ts';
import type { Flow, FlowPart, FlowStep, State } from './flow.ts';
import { check, type OutputOf, type Schema } from './schema.ts';
import { inSpan, startStepSpan } from './spans.ts';
import { type Target, targetOf } from './target.ts';

/** What a run needs of the invocation around it. */
export interface RunContext {
  /** Bindings: where the modules of the components stand. */
  readonly env: Record<string, unknown>;
  /** Begins the keys of its steps: a run that is repeated under the same id repeats nothing that was done. */
  readonly id: string;
  readonly signal: AbortSignal;
  readonly log: Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;
  /** Absent: no spans. */
  readonly startSpan?: StartSpan;
  readonly clock?: Clock;
  readonly business?: string;
  readonly template?: string;
}

export interface StepRecord {
  name: string;
  point: string;
  /** Empty while it is not known. */
  component: string;
  state: 'running' | 'done' | 'skipped' | 'tolerated' | 'failed' | 'compensated' | 'compensation-failed';
  attempts: number;
  durationMs: number;
  error: string | null;
}

export interface FlowResult<Out = unknown> {
  output: Out;
  /** In the order in which they began. */
  steps: StepRecord[];
}

/** A step failed, or the flow's own result is wrong. What was done has been undone, as far as `steps` says. */
export class FlowError extends BusinessError {
  readonly steps: readonly StepRecord[];

  constructor(error: BusinessError, steps: readonly StepRecord[]) {
    const { code, reason, place, issues, retryable } = error;
    super(code, reason, { place, issues, retryable, cause: error.cause ?? error });
    this.steps = steps;
  }

  override at(place: Place): FlowError {
    return new FlowError(super.at(place), this.steps);
  }
}

/** Throws BusinessError when the request is not the flow's, FlowError afterwards. */
export async function runFlow<In extends Schema, Out extends Schema>(
  flow: Flow<In, Out>,
  request: unknown,
  context: RunContext,
): Promise<FlowResult<OutputOf<Out>>> {
  const { business, template } = context;
  const place: Place = { ...(business === undefined ? {} : { business }), flow: flow.name };
  const given = await check(flow.input, request);
  if (!given.ok) throw invalid('request', given.issues, place);
  const span = context.startSpan?.(`flow ${flow.name}`, {
    [STEP_ATTR.flow]: flow.name,
    ...(business === undefined ? {} : { [STEP_ATTR.business]: business }),
    ...(template === undefined ? {} : { [STEP_ATTR.template]: template }),
  });
  const run = new FlowRun(flow, given.value, context, place, span?.id ?? null);
  try {
    const output = await run.whole();
    span?.end();
    return { output: output as OutputOf<Out>, steps: run.records };
  } catch (thrown) {
    const error = fromThrown(thrown, place);
    await run.compensate();
    span?.end(error.message);
    throw new FlowError(error, run.records);
  }
}

/** A step that may have left something behind. */
interface Done {
  step: FlowStep;
  target: Target;
  input: unknown;
  /** Null when nobody knows whether it went well. */
  output: unknown;
  record: StepRecord;
}

/** Undoing is tried harder than doing: what it leaves behind somebody has to clear away by hand. */
const LEAST_COMPENSATION_ATTEMPTS = 3;
const NEVER = new AbortController().signal;

class FlowRun {
  readonly records: StepRecord[] = [];
  readonly #flow: Flow;
  readonly #context: RunContext;
  readonly #clock: Clock;
  readonly #place: Place;
  readonly #parentSpan: number | null;
  readonly #request: unknown;
  #results: Record<string, unknown> = {};
  /** In the order in which they ended. */
  readonly #done: Done[] = [];

  constructor(flow: Flow, request: unknown, context: RunContext, place: Place, parentSpan: number | null) {
    this.#flow = flow;
    this.#request = request;
    this.#context = context;
    this.#clock = context.clock ?? realClock;
    this.#place = place;
    this.#parentSpan = parentSpan;
  }

  async whole(): Promise<unknown> {
    for (const part of this.#flow.parts) await this.#part(part);
    const made = callOwn('result', this.#place, () => this.#flow.result(this.#state as State<never, never>));
    const output = await check(this.#flow.output, made);
    if (!output.ok) throw invalid('output', output.issues, this.#place);
    return output.value;
  }

  get #state(): State<unknown, unknown> {
    return { request: this.#request, done: this.#results };
  }

  async #part(part: FlowPart): Promise<void> {
    const beside = new AbortController();
    const signal = AbortSignal.any([this.#context.signal, beside.signal]);
    const state = this.#state;
    let first: { error: BusinessError } | null = null;
    const ended = await Promise.all(
      part.map(async (step) => {
        try {
          return [step.name, await this.#step(step, state, signal)] as const;
        } catch (thrown) {
          const error = fromThrown(thrown, { ...this.#place, step: step.name });
          first ??= { error };
          beside.abort(new Error(`step ${step.name} failed beside it`));
          return null;
        }
      }),
    );
    if (first !== null) throw (first as { error: BusinessError }).error;
    this.#results = { ...this.#results, ...Object.fromEntries(ended.filter((one) => one !== null)) };
  }

  /** What the step made; undefined for one that was left out, or failed and may. */
  async #step(step: FlowStep, state: State<unknown, unknown>, signal: AbortSignal): Promise<unknown> {
    const clock = this.#clock;
    const begun = clock.now();
    const record: StepRecord = {
      name: step.name,
      point: step.point.name,
      component: '',
      state: 'running',
      attempts: 0,
      durationMs: 0,
      error: null,
    };
    this.records.push(record);
    const span = startStepSpan(this.#context.startSpan, `step ${step.name}`, step, this.#parentSpan);
    try {
      const { when } = step;
      if (when !== null && !callOwn('when', {}, () => when(state))) {
        record.state = 'skipped';
        span?.end(null, { [STEP_ATTR.state]: 'skipped' });
        return undefined;
      }
      const result = await inSpan(span, () => this.#attempts(step, state, signal, record));
      record.state = 'done';
      span?.end(null, { [STEP_ATTR.component]: record.component, [STEP_ATTR.attempts]: record.attempts });
      return result;
    } catch (thrown) {
      const error = fromThrown(thrown, { ...this.#place, step: step.name });
      record.state = step.optional && !signal.aborted ? 'tolerated' : 'failed';
      record.error = error.reason;
      span?.end(error.message, {
        [STEP_ATTR.component]: record.component,
        [STEP_ATTR.attempts]: record.attempts,
        [STEP_ATTR.errorType]: error.code,
      });
      if (record.state === 'failed') throw error;
      this.#context.log.warn(`${error.message} (optional: the flow goes on)`);
      return undefined;
    } finally {
      record.durationMs = clock.now() - begun;
    }
  }

  async #attempts(step: FlowStep, state: State<unknown, unknown>, signal: AbortSignal, record: StepRecord) {
    const target = targetOf(step, state, this.#context);
    record.component = target.name;
    const place = { ...this.#place, step: step.name, component: target.name };
    const input = callOwn('input', place, () => step.input(state));
    let noted = false;
    const done = (output: unknown) => {
      if (!noted) this.#done.push({ step, target, input, output, record });
      noted = true;
    };
    try {
      const made = await withRetries(
        { retry: step.retry, timeoutMs: step.timeoutMs, signal, clock: this.#clock },
        (attempt, own) => {
          record.attempts = attempt;
          return target.run(input, this.#call(step, attempt), own);
        },
      );
      if (made.compensates) done(made.output);
      const output = await check(step.point.output, made.output);
      if (!output.ok) throw invalid('output', output.issues, place);
      return output.value;
    } catch (thrown) {
      const error = fromThrown(thrown, place);
      if (error.outcomeUnknown) done(null);
      throw error;
    }
  }

  /** Undoes what was done, the last first. Goes on when one fails, and whoever called has gone. Never throws. */
  async compensate(): Promise<void> {
    for (const done of this.#done.reverse()) {
      const { step, target, record } = done;
      const span = startStepSpan(this.#context.startSpan, `compensate ${step.name}`, step, this.#parentSpan);
      const retry = { ...step.retry, attempts: Math.max(LEAST_COMPENSATION_ATTEMPTS, step.retry.attempts) };
      try {
        const undone = await inSpan(span, () =>
          withRetries({ retry, timeoutMs: step.timeoutMs, signal: NEVER, clock: this.#clock }, (attempt, own) =>
            target.compensate(done.input, done.output, this.#call(step, attempt), own),
          ),
        );
        if (undone) record.state = 'compensated';
        span?.end(null, { [STEP_ATTR.component]: target.name });
      } catch (thrown) {
        const error = fromThrown(thrown, { ...this.#place, step: step.name });
        record.state = 'compensation-failed';
        record.error = error.reason;
        this.#context.log.error(`${error.message} (compensation; what the step did is still there)`);
        span?.end(error.message, { [STEP_ATTR.component]: target.name, [STEP_ATTR.errorType]: error.code });
      }
    }
  }

  #call(step: FlowStep, attempt: number) {
    return {
      key: `${this.#context.id}/${this.#flow.name}/${step.name}`,
      attempt,
      flow: this.#flow.name,
      step: step.name,
    };
  }
}
