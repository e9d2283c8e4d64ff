/** The bindings for services that a manifest asks for. */
import type { BindingSpec } from '../../functions/contract/invocation.ts';
import type { Manifest } from '../../functions/contract/manifest.ts';
import { ownName } from '../../functions/contract/manifest-services.ts';

/** `vars`: of the function, its secrets among them. */
export function serviceSpecs(
  { r2_buckets = [], ratelimits = [], hearth }: Manifest,
  functionName: string,
  vars: Readonly<Record<string, string>>,
): BindingSpec[] {
  const { locks = [], counters = [], config = [], outbound = [], topics } = hearth;
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
    ...outbound.map(({ binding, origin, timeoutMs, retries, breaker, headers }): BindingSpec => {
      const missing = new Set<string>();
      const filled = Object.entries(headers).map(([name, text]): [string, string] => [name, fill(text, vars, missing)]);
      const given = { kind: 'outbound', name: binding, origin, timeoutMs, retries } as const;
      return { ...given, ...(breaker === undefined ? {} : { breaker }), headers: filled, missing: [...missing] };
    }),
  ];
}

/** With the variables that it names; those that are not there are noted. */
function fill(text: string, vars: Readonly<Record<string, string>>, missing: Set<string>): string {
  return text.replace(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_, name: string) => {
    if (Object.hasOwn(vars, name)) return vars[name] ?? '';
    missing.add(name);
    return '';
  });
}
