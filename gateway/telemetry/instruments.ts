/**
 * Counters and histograms that cost nanoseconds: the caller keeps the cell of its attributes and adds to it. The SDK's
 * own instruments look the attributes up at each record (0.3 µs, once per reader), which is too much for each call;
 * collection and export stay the SDK's.
 */
import type { METRIC } from './names.ts';

export type MetricName = (typeof METRIC)[keyof typeof METRIC];
export type MetricAttributes = Readonly<Record<string, string>>;

export interface CounterCell {
  readonly attributes: MetricAttributes;
  value: number;
}

/** Buckets hold what is ≤ their bound, the last one the rest. */
export class HistogramCell {
  readonly attributes: MetricAttributes;
  readonly bounds: readonly number[];
  readonly counts: Float64Array;
  sum = 0;
  count = 0;
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;

  constructor(attributes: MetricAttributes, bounds: readonly number[]) {
    this.attributes = attributes;
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  record(value: number): void {
    let bucket = 0;
    // Most values fall into the first few buckets: a walk is as quick as a search.
    while (bucket < this.bounds.length && value > (this.bounds[bucket] ?? 0)) bucket++;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.sum += value;
    this.count++;
    if (value < this.min) this.min = value;
    if (value > this.max) this.max = value;
  }
}

export interface CounterFamily {
  readonly kind: 'counter';
  readonly metric: MetricName;
  readonly cells: ReadonlySet<CounterCell>;
  cell(attributes: MetricAttributes): CounterCell;
  drop(cell: CounterCell): void;
}

export interface HistogramFamily {
  readonly kind: 'histogram';
  readonly metric: MetricName;
  readonly cells: ReadonlySet<HistogramCell>;
  cell(attributes: MetricAttributes): HistogramCell;
  drop(cell: HistogramCell): void;
}

/** Read when metrics are collected. */
export interface ObservedFamily {
  readonly kind: 'gauge' | 'observed-counter';
  readonly metric: MetricName;
  observe(): readonly CounterCell[] | Promise<readonly CounterCell[]>;
}

export type MetricFamily = CounterFamily | HistogramFamily | ObservedFamily;

export function counter(metric: MetricName): CounterFamily {
  const cells = new Set<CounterCell>();
  return {
    kind: 'counter',
    metric,
    cells,
    cell(attributes) {
      const cell = { attributes, value: 0 };
      cells.add(cell);
      return cell;
    },
    drop: (cell) => cells.delete(cell),
  };
}

/** Bounds in the metric's unit, rising. */
export function histogram(metric: MetricName, bounds: readonly number[]): HistogramFamily {
  const cells = new Set<HistogramCell>();
  return {
    kind: 'histogram',
    metric,
    cells,
    cell(attributes) {
      const cell = new HistogramCell(attributes, bounds);
      cells.add(cell);
      return cell;
    },
    drop: (cell) => cells.delete(cell),
  };
}
