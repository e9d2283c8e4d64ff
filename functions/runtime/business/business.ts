/** A business: flows over the components of several modules, of which an attribute of each request picks one. */
import { BusinessError, callOwn, invalid } from './errors.ts';
import type { Flow } from './flow.ts';
import { type FlowResult, type RunContext, runFlow } from './run.ts';
import { check, type InputOf, type OutputOf, requireName, type Schema } from './schema.ts';

export interface Business<In extends Schema = Schema, Out extends Schema = Schema> {
  readonly name: string;
  readonly description: string;
  readonly input: In;
  readonly output: Out;
  readonly choose: (request: never) => string;
  /** Flows by the name that `choose` gives. */
  readonly templates: ReadonlyMap<string, Flow>;
}

/**
 * `choose` names the template for a request that the input schema has accepted. Each template takes what the business
 * takes, and makes what it promises. Throws TypeError for a bad name and without any template.
 */
export function defineBusiness<In extends Schema, Out extends Schema, Template extends string>(options: {
  name: string;
  description?: string;
  input: In;
  output: Out;
  choose: (request: OutputOf<In>) => Template;
  templates: { readonly [T in Template]: Flow<Schema<InputOf<In>>, Schema<unknown, InputOf<Out>>> };
}): Business<In, Out> {
  const { name, description = '', input, output, choose } = options;
  requireName('Business', name);
  const templates = new Map<string, Flow>(Object.entries(options.templates));
  if (templates.size === 0) throw new TypeError(`Business ${name} has no templates.`);
  return { name, description, input, output, choose, templates };
}

export interface BusinessResult<Out = unknown> extends FlowResult<Out> {
  template: string;
}

/** Throws BusinessError, or FlowError when a step failed. */
export async function runBusiness<In extends Schema, Out extends Schema>(
  business: Business<In, Out>,
  request: unknown,
  context: RunContext,
): Promise<BusinessResult<OutputOf<Out>>> {
  const place = { business: business.name };
  const given = await check(business.input, request);
  if (!given.ok) throw invalid('request', given.issues, place);
  const template = callOwn('choose', place, () => business.choose(given.value as never));
  const flow = business.templates.get(template);
  if (flow === undefined) {
    const known = [...business.templates.keys()].join(', ');
    throw new BusinessError('NO_TEMPLATE', `no template ${JSON.stringify(template)}; there are ${known}`, { place });
  }
  // The flow reads the request itself: what the business's schema made of it is for choosing.
  const result = await runFlow(flow, request, { ...context, business: business.name, template });
  const output = await check(business.output, result.output);
  if (!output.ok) throw invalid('output', output.issues, { ...place, flow: flow.name });
  return { ...result, template, output: output.value };
}
