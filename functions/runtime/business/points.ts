/** Extension points, which a base declares, and components, with which modules implement them. */
import type { Logger } from '../../contract/handlers.ts';
import { fromThrown, invalid } from './errors.ts';
import { check, type InputOf, type OutputOf, requireName, type Schema } from './schema.ts';

/** A gap in a business that modules fill: a name, and what goes in and comes out. */
export interface ExtensionPoint<In extends Schema = Schema, Out extends Schema = Schema> {
  readonly name: string;
  readonly description: string;
  readonly input: In;
  readonly output: Out;
}

/** Throws TypeError for a name that cannot stand in a path. */
export function defineExtensionPoint<In extends Schema, Out extends Schema>(options: {
  name: string;
  description?: string;
  input: In;
  output: Out;
}): ExtensionPoint<In, Out> {
  const { name, description = '', input, output } = options;
  requireName('Extension point', name);
  return { name, description, input, output };
}

/** What a component knows of its call. */
export interface ComponentContext {
  /** Bindings of the component's own module. */
  readonly env: Record<string, unknown>;
  /** Aborted when the step's time is up, the caller has gone or a part beside it failed. */
  readonly signal: AbortSignal;
  readonly log: Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;
  /**
   * The same for each attempt of one step in one run, and for its compensation: what a component remembers under it is
   * done once.
   */
  readonly key: string;
  /** 1 for the first. */
  readonly attempt: number;
  readonly flow: string;
  readonly step: string;
}

export interface Component<In = unknown, Out = unknown> {
  readonly point: ExtensionPoint;
  readonly name: string;
  readonly description: string;
  run(input: In, ctx: ComponentContext): Out | Promise<Out>;
  /** Null: it leaves nothing behind that would have to be undone. */
  readonly compensate: Compensate<In, Out> | null;
}

/**
 * Undoes what `run` did. `output` is null when nobody knows whether it went well (its time was up, its module died): a
 * compensation has to be able to find nothing to undo, to be called twice, and to come while an attempt that was given up
 * still runs. `ctx.key` is the same as in `run`.
 */
export type Compensate<In, Out> = (input: In, output: Out | null, ctx: ComponentContext) => unknown;

type InputOfPoint<P extends ExtensionPoint> = OutputOf<P['input']>;
type OutputOfPoint<P extends ExtensionPoint> = InputOf<P['output']>;

/** What a component is once its types have been checked: those that hold many cannot name each one's. */
export type AnyComponent = Omit<Component<never, unknown>, 'compensate'> & {
  readonly compensate: ((input: never, output: never, ctx: ComponentContext) => unknown) | null;
};

/**
 * A component. Input and output are validated on both sides of it, so `run` gets what the schema says. Throws TypeError
 * for a bad name.
 */
export function implement<P extends ExtensionPoint>(
  point: P,
  name: string,
  run: (input: InputOfPoint<P>, ctx: ComponentContext) => OutputOfPoint<P> | Promise<OutputOfPoint<P>>,
  options: { description?: string; compensate?: Compensate<InputOfPoint<P>, OutputOfPoint<P>> } = {},
): Component<InputOfPoint<P>, OutputOfPoint<P>> {
  requireName('Component', name);
  return { point, name, description: options.description ?? '', run, compensate: options.compensate ?? null };
}

/**
 * Validates, runs, validates. Gives what the component made, not what its schema makes of that: it may have to travel,
 * and is read by the schema where it arrives. Throws BusinessError, whatever the component threw.
 */
export async function runComponent(component: AnyComponent, input: unknown, ctx: ComponentContext): Promise<unknown> {
  const place = { component: component.name };
  const given = await check(component.point.input, input);
  if (!given.ok) throw invalid('input', given.issues, place);
  let made: unknown;
  try {
    ctx.signal.throwIfAborted();
    made = await component.run(given.value as never, ctx);
  } catch (error) {
    throw fromThrown(error, place);
  }
  const output = await check(component.point.output, made);
  if (!output.ok) throw invalid('output', output.issues, place);
  return made;
}

/** False: the component has nothing to undo. Throws BusinessError. */
export async function compensateComponent(
  component: AnyComponent,
  input: unknown,
  output: unknown,
  ctx: ComponentContext,
): Promise<boolean> {
  if (component.compensate === null) return false;
  const place = { component: component.name };
  const given = await check(component.point.input, input);
  if (!given.ok) throw invalid('input', given.issues, place);
  try {
    await component.compensate(given.value as never, output as never, ctx);
  } catch (error) {
    throw fromThrown(error, place);
  }
  return true;
}
