/** How functions fare and what the state takes, read when metrics are collected. */
import type { MetricFamily } from './instruments.ts';
import { ATTR, HEARTH_ATTR, METRIC } from './names.ts';
import type { TelemetrySources } from './telemetry.ts';

export function stateFamilies({ health, store }: TelemetrySources): MetricFamily[] {
  const functions = () => [...(health?.() ?? [])];
  const named = (name: string) => ({ [ATTR.faasName]: name });
  return [
    {
      kind: 'gauge',
      metric: METRIC.functionHealth,
      observe: () =>
        functions().map(([name, { state }]) => ({
          attributes: { ...named(name), [HEARTH_ATTR.health]: state },
          value: state === 'serving' ? 1 : 0,
        })),
    },
    {
      kind: 'observed-counter',
      metric: METRIC.functionRestarts,
      observe: () => functions().map(([name, { restarts }]) => ({ attributes: named(name), value: restarts })),
    },
    {
      kind: 'gauge',
      metric: METRIC.storeUsed,
      observe: () => (store === undefined ? [] : [{ attributes: {}, value: store().usedBytes }]),
    },
    {
      kind: 'gauge',
      metric: METRIC.storeLimit,
      observe() {
        const limit = store?.().limitBytes ?? null;
        return limit === null ? [] : [{ attributes: {}, value: limit }];
      },
    },
  ];
}
