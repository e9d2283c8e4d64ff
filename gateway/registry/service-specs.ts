/** The bindings for services that a manifest asks for. */
import type { BindingSpec } from '../../functions/contract/invocation.ts';
import type { Manifest } from '../../functions/contract/manifest.ts';
import { ownName } from '../../functions/contract/manifest-services.ts';

export function serviceSpecs(
  { r2_buckets = [], ratelimits = [], hearth }: Manifest,
  functionName: string,
): BindingSpec[] {
  const { locks = [], counters = [], config = [], topics } = hearth;
  const of = ({ binding, namespace }: { binding: string; namespace?: string | undefined }) => ({
    name: binding,
    namespace: namespace ?? ownName(functionName, binding),
  });
  return [
    ...r2_buckets.map(({ binding, bucket_name }): BindingSpec => ({ kind: 'r2', name: binding, bucket: bucket_name })),
    ...ratelimits.map(
      ({ name, namespace_id, simple }): BindingSpec => ({
        kind: 'ratelimit',
        name,
        namespace: namespace_id,
        limit: simple.limit,
        periodS: simple.period,
      }),
    ),
    ...locks.map((given): BindingSpec => ({ kind: 'lock', ...of(given) })),
    ...counters.map((given): BindingSpec => ({ kind: 'counter', ...of(given) })),
    ...(topics?.publishers ?? []).map(({ binding, topic }): BindingSpec => ({ kind: 'topic', name: binding, topic })),
    ...config.map((given): BindingSpec => ({ kind: 'config', ...of(given) })),
  ];
}
