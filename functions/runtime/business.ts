/**
 * What authors import as 'hearth/business': extension points, components, flows and businesses. A base gives it to its
 * modules, as it gives them 'hearth'; a base definition's `setup` gets it bundled. It imports nothing but types of the
 * contract, so the same code runs in a unit test or a plain Node program.
 */
export { type Business, type BusinessResult, defineBusiness, runBusiness } from './business/business.ts';
export type { Clock } from './business/clock.ts';
export {
  type BusinessDescription,
  describeBusiness,
  describePoints,
  type PointDescription,
  renderMarkdown,
} from './business/docs.ts';
export { BusinessError, type BusinessErrorCode, Refusal } from './business/errors.ts';
export { defineFlow, type Flow, type RetryPolicy, type State } from './business/flow.ts';
export {
  type Compensate,
  type Component,
  type ComponentContext,
  defineExtensionPoint,
  type ExtensionPoint,
  implement,
} from './business/points.ts';
export { FlowError, type FlowResult, type RunContext, runFlow, type StepRecord } from './business/run.ts';
export type { InputOf, Issue, OutputOf, Schema } from './business/schema.ts';
export { business, components, type FetchHandler } from './business/serve.ts';
