/** Who fills a step's point in this run: a component at hand, or one in the module behind a binding. */
import type { Fetcher, Logger } from '../../contract/handlers.ts';
import { BusinessError, callOwn } from './errors.ts';
import type { FlowStep, State } from './flow.ts';
import { type AnyComponent, type ComponentContext, compensateComponent, runComponent } from './points.ts';
import { type CallInfo, callCompensate, callRun, type RunAnswer } from './remote.ts';

export interface Target {
  readonly name: string;
  run(input: unknown, call: CallInfo, signal: AbortSignal): Promise<RunAnswer>;
  compensate(input: unknown, output: unknown, call: CallInfo, signal: AbortSignal): Promise<boolean>;
}

/** What a component at hand gets of the flow's own module. */
export interface Surroundings {
  readonly env: Record<string, unknown>;
  readonly log: Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;
}

/** Throws BusinessError. */
export function targetOf(step: FlowStep, state: State<unknown, unknown>, around: Surroundings): Target {
  const { component } = step;
  const chosen = typeof component === 'function' ? callOwn('component', {}, () => component(state)) : component;
  return typeof chosen === 'string' ? remoteTarget(step, chosen, around) : localTarget(step, chosen, around);
}

function localTarget(step: FlowStep, component: AnyComponent, { env, log }: Surroundings): Target {
  if (component.point.name !== step.point.name) {
    const reason = `it implements ${component.point.name}, and the step is of ${step.point.name}`;
    throw new BusinessError('NO_COMPONENT', reason, { place: { component: component.name } });
  }
  const context = (call: CallInfo, signal: AbortSignal): ComponentContext => ({ env, log, signal, ...call });
  return {
    name: component.name,
    run: async (input, call, signal) => ({
      output: await runComponent(component, input, context(call, signal)),
      compensates: component.compensate !== null,
    }),
    compensate: (input, output, call, signal) => compensateComponent(component, input, output, context(call, signal)),
  };
}

function remoteTarget(step: FlowStep, component: string, { env }: Surroundings): Target {
  const place = { component };
  const { from } = step;
  if (from === null) {
    throw new BusinessError('NO_COMPONENT', 'the step has no "from" that names a binding', { place });
  }
  const binding = env[from];
  if (!isFetcher(binding)) {
    const reason = `env.${from} is no service binding; name it under "services" in the manifest`;
    throw new BusinessError('NO_COMPONENT', reason, { place });
  }
  const remote = { binding, point: step.point.name, component };
  return {
    name: component,
    run: (input, call, signal) => callRun(remote, input, call, signal),
    compensate: (input, output, call, signal) => callCompensate(remote, input, output, call, signal),
  };
}

function isFetcher(value: unknown): value is Fetcher {
  return typeof (value as { fetch?: unknown } | null | undefined)?.fetch === 'function';
}
