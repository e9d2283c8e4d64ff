/** Hands the instruments' cells to the SDK's periodic reader, which exports them over OTLP. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type HrTime, ValueType } from '@opentelemetry/api';
import type { ExportResult } from '@opentelemetry/core';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { emptyResource, type Resource } from '@opentelemetry/resources';
import {
  AggregationTemporality,
  type DataPoint,
  DataPointType,
  type Histogram,
  MeterProvider,
  type MetricData,
  type MetricProducer,
  PeriodicExportingMetricReader,
  type PushMetricExporter,
} from '@opentelemetry/sdk-metrics';
import { watchExport } from './export-watch.ts';
import { hrTime } from './finished-span.ts';
import type { CounterCell, HistogramCell, MetricFamily, MetricName } from './instruments.ts';
import type { Logger } from './log.ts';
import { SCOPE } from './names.ts';
import type { OtlpTarget } from './otel-settings.ts';
import { otlpOptions } from './otlp-options.ts';

/** Points converted in one turn of the loop, and points in one request: serializing is done in one go. */
const POINTS_PER_TURN = 500;

export interface MetricExport {
  shutdown(): Promise<void>;
}

export function startMetricExport(options: {
  target: OtlpTarget;
  intervalMs: number;
  resource: Resource;
  families: readonly MetricFamily[];
  log: Logger;
  now(): number;
}): MetricExport {
  const { target, intervalMs, now } = options;
  const exporter = new OTLPMetricExporter({
    ...otlpOptions(target),
    temporalityPreference: AggregationTemporality.CUMULATIVE,
  });
  const provider = new MeterProvider({
    resource: options.resource,
    readers: [
      new PeriodicExportingMetricReader({
        exporter: watched(exporter, watchExport(options.log, 'metrics', target.url)),
        exportIntervalMillis: intervalMs,
        metricProducers: [metricProducer(options.families, hrTime(now()), now)],
        maxExportBatchSize: POINTS_PER_TURN,
      }),
    ],
  });
  return { shutdown: () => provider.shutdown() };
}

function watched(exporter: PushMetricExporter, observe: (result: ExportResult) => void): PushMetricExporter {
  return {
    export(metrics, done) {
      exporter.export(metrics, (result) => {
        observe(result);
        done(result);
      });
    },
    forceFlush: () => exporter.forceFlush(),
    shutdown: () => exporter.shutdown(),
  };
}

function metricProducer(families: readonly MetricFamily[], startTime: HrTime, now: () => number): MetricProducer {
  async function collect() {
    const endTime = hrTime(now());
    const metrics: MetricData[] = [];
    let converted = 0;
    for (const family of families) {
      const cells: readonly (CounterCell | HistogramCell)[] =
        'cells' in family ? [...family.cells] : await family.observe();
      const dataPoints: DataPoint<number>[] = [];
      const histograms: DataPoint<Histogram>[] = [];
      for (const cell of cells) {
        const point = { startTime, endTime, attributes: cell.attributes };
        if ('counts' in cell) histograms.push({ ...point, value: histogramValue(cell) });
        else dataPoints.push({ ...point, value: cell.value });
        if (++converted % POINTS_PER_TURN === 0) await nextTurn();
      }
      if (cells.length > 0) metrics.push(metricData(family, dataPoints, histograms));
    }
    // The SDK's reader takes the resource from its own provider.
    return {
      resourceMetrics: { resource: emptyResource(), scopeMetrics: [{ scope: { name: SCOPE }, metrics }] },
      errors: [],
    };
  }
  return { collect };
}

function metricData(
  family: MetricFamily,
  dataPoints: DataPoint<number>[],
  histograms: DataPoint<Histogram>[],
): MetricData {
  const common = {
    descriptor: descriptor(family.metric),
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  };
  switch (family.kind) {
    case 'histogram':
      return { ...common, dataPointType: DataPointType.HISTOGRAM, dataPoints: histograms };
    case 'gauge':
      return { ...common, dataPointType: DataPointType.GAUGE, dataPoints };
    case 'counter':
    case 'observed-counter':
      return { ...common, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints };
  }
}

function descriptor({ name, description, unit }: MetricName): MetricData['descriptor'] {
  return { name, description, unit, valueType: ValueType.DOUBLE };
}

function histogramValue(cell: HistogramCell): Histogram {
  return {
    buckets: { boundaries: [...cell.bounds], counts: [...cell.counts] },
    sum: cell.sum,
    count: cell.count,
    min: cell.min,
    max: cell.max,
  };
}
