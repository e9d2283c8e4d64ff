/** The decision at the head of a trace, by OTEL_TRACES_SAMPLER. */
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { SamplingDecision, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace';
import type { SamplerSettings } from './otel-settings.ts';

export interface Sampler {
  /** `parentSampled` is null at the root of a trace. */
  decide(traceId: string, parentSampled: boolean | null): boolean;
}

export function createSampler(settings: SamplerSettings): Sampler {
  const root = createRootSampler(settings);
  if (!settings.parentBased) return { decide: root };
  return { decide: (traceId, parentSampled) => parentSampled ?? root(traceId) };
}

function createRootSampler({ root, ratio }: SamplerSettings): (traceId: string) => boolean {
  switch (root) {
    case 'always_on':
      return () => true;
    case 'always_off':
      return () => false;
    case 'traceidratio': {
      // The SDK's own, so that other services with the same ratio keep the same traces.
      const sampler = new TraceIdRatioBasedSampler(ratio);
      return (traceId) => sampler.shouldSample(ROOT_CONTEXT, traceId).decision !== SamplingDecision.NOT_RECORD;
    }
  }
}
