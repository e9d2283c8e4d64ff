/** What Hearth counts and times. Cells are kept per function, version and arm, so that a call costs two additions and three lookups. */

import type { TriggerKind } from '../../functions/contract/invocation.ts';
import { type CounterCell, counter, type HistogramCell, histogram, type MetricFamily } from './instruments.ts';
import { ATTR, FAAS_TRIGGER, HEARTH_ATTR, METRIC, OTHER } from './names.ts';
import { poolFamilies } from './pool-metrics.ts';
import type { DropCounters } from './span-export.ts';
import { stateFamilies } from './state-metrics.ts';
import type { FinishedInvocation, TelemetrySources } from './telemetry.ts';

/** Seconds. From half a warm call to the longest default timeout. */
const INVOKE_BOUNDS = [
  0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];
/** Seconds. A cold start is about a millisecond; its phases are parts of that. */
const START_BOUNDS = [
  0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.001_5, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5,
];

export interface Metrics {
  readonly families: readonly MetricFamily[];
  /** What is counted of a function so far: one for each of its versions, arms and triggers. */
  countedOf(functionName: string): Iterable<Counted>;
  /** Functions of which anything was counted. */
  functionNames(): Iterable<string>;
  readonly drops: DropCounters;
  finished(invocation: FinishedInvocation): void;
  direct(functionName: string, calls: number, failed: number): void;
  acquired(durationMs: number): void;
  queueDepth(queue: string, depth: number, oldestAgeMs: number): void;
  forgetFunction(functionName: string): void;
  forgetVersions(functionName: string, named: (version: string) => boolean): void;
  forgetQueue(queue: string): void;
}

/** Of one version, arm and trigger. Counts only grow; with a version that is forgotten they go. */
export interface Counted {
  /** Those that succeeded. */
  readonly invocations: { readonly value: number };
  /** Seconds. */
  readonly invokeDuration: { readonly bounds: readonly number[]; readonly counts: ArrayLike<number> };
  readonly coldstarts: { readonly value: number } | null;
  /** By code. */
  readonly errors: ReadonlyMap<string, { readonly value: number }>;
}

interface Cells extends Counted {
  readonly invocations: CounterCell;
  readonly invokeDuration: HistogramCell;
  coldstarts: CounterCell | null;
  initDuration: HistogramCell | null;
  timeouts: CounterCell | null;
  readonly errors: Map<string, CounterCell>;
}

type CellsByTrigger = Partial<Record<TriggerKind, Cells>>;

/** Of one version: publications and their splits come and go. */
const MOST_ARMS = 50;

function* cellsIn(byVersion: ReadonlyMap<string, ReadonlyMap<string, CellsByTrigger>>): Generator<Cells> {
  for (const byArm of byVersion.values()) for (const byTrigger of byArm.values()) yield* Object.values(byTrigger);
}

export function createMetrics(sources: TelemetrySources): Metrics {
  const invocations = counter(METRIC.invocations);
  const coldstarts = counter(METRIC.coldstarts);
  const errors = counter(METRIC.errors);
  const timeouts = counter(METRIC.timeouts);
  const invokeDuration = histogram(METRIC.invokeDuration, INVOKE_BOUNDS);
  const initDuration = histogram(METRIC.initDuration, START_BOUNDS);
  const acquireDuration = histogram(METRIC.acquireDuration, START_BOUNDS);
  const phaseDuration = histogram(METRIC.phaseDuration, START_BOUNDS);
  const spansDropped = counter(METRIC.spansDropped);
  const logsDropped = counter(METRIC.logsDropped);
  const acquireCell = acquireDuration.cell({});
  const phaseCells = new Map<string, HistogramCell>();
  const functions = new Map<string, Map<string, Map<string, CellsByTrigger>>>();
  const groupCalls = counter(METRIC.groupCalls);
  const groupErrors = counter(METRIC.groupErrors);
  const neighbours = new Map<string, { calls: CounterCell; errors: CounterCell }>();
  const queues = new Map<string, { depth: CounterCell; age: CounterCell }>();

  function cellsOf({ functionName, version, arm, trigger }: FinishedInvocation): Cells {
    const known = functions.get(functionName)?.get(version)?.get(arm)?.[trigger];
    return known ?? newCellsOf(functionName, version, arm, trigger);
  }
  function newCellsOf(functionName: string, given: string, givenArm: string, trigger: TriggerKind): Cells {
    const byVersion = functions.getOrInsertComputed(functionName, () => new Map());
    // Of what is not in the traffic testers may call any of hundreds.
    const version = byVersion.has(given) || sources.serves?.(functionName, given) !== false ? given : OTHER;
    const byArm = byVersion.getOrInsertComputed(version, () => new Map());
    const arm = byArm.has(givenArm) || byArm.size < MOST_ARMS ? givenArm : OTHER;
    const byTrigger = byArm.getOrInsertComputed(arm, (): CellsByTrigger => ({}));
    byTrigger[trigger] ??= newCells(attributesOf(functionName, version, arm, trigger));
    return byTrigger[trigger];
  }
  function drop(byArm: ReadonlyMap<string, CellsByTrigger>): void {
    for (const cells of byArm.values().flatMap((byTrigger) => Object.values(byTrigger))) {
      invocations.drop(cells.invocations);
      invokeDuration.drop(cells.invokeDuration);
      if (cells.coldstarts !== null) coldstarts.drop(cells.coldstarts);
      if (cells.initDuration !== null) initDuration.drop(cells.initDuration);
      if (cells.timeouts !== null) timeouts.drop(cells.timeouts);
      for (const cell of cells.errors.values()) errors.drop(cell);
    }
  }
  function newCells(attributes: Record<string, string>): Cells {
    return {
      invocations: invocations.cell(attributes),
      invokeDuration: invokeDuration.cell(attributes),
      coldstarts: null,
      initDuration: null,
      timeouts: null,
      errors: new Map(),
    };
  }
  function coldStart(invocation: FinishedInvocation, cells: Cells): void {
    const phases = invocation.facts?.phases;
    if (phases === undefined) return;
    const attributes = cells.invocations.attributes;
    cells.coldstarts ??= coldstarts.cell(attributes);
    cells.initDuration ??= initDuration.cell(attributes);
    cells.coldstarts.value++;
    const { acquire = 0, transfer = 0, compile = 0, evaluate = 0 } = phases;
    cells.initDuration.record((acquire + transfer + compile + evaluate) / 1000);
    for (const [phase, durationMs] of Object.entries(phases)) {
      const cell = phaseCells.getOrInsertComputed(phase, () => phaseDuration.cell({ [HEARTH_ATTR.phase]: phase }));
      cell.record(durationMs / 1000);
    }
  }
  function failure(code: string, cells: Cells): void {
    const attributes = cells.invocations.attributes;
    const cell = cells.errors.getOrInsertComputed(code, () => errors.cell({ ...attributes, [ATTR.errorType]: code }));
    cell.value++;
    if (code !== 'FUNCTION_TIMEOUT') return;
    cells.timeouts ??= timeouts.cell(attributes);
    cells.timeouts.value++;
  }

  return {
    families: [
      invocations,
      invokeDuration,
      coldstarts,
      initDuration,
      phaseDuration,
      errors,
      timeouts,
      groupCalls,
      groupErrors,
      acquireDuration,
      ...poolFamilies(sources),
      ...stateFamilies(sources),
      { kind: 'gauge', metric: METRIC.queueDepth, observe: () => Array.from(queues.values(), ({ depth }) => depth) },
      { kind: 'gauge', metric: METRIC.queueAge, observe: () => Array.from(queues.values(), ({ age }) => age) },
      spansDropped,
      logsDropped,
    ],
    countedOf(functionName) {
      const byVersion = functions.get(functionName);
      return byVersion === undefined ? [] : cellsIn(byVersion);
    },
    functionNames: () => functions.keys(),
    drops: {
      queueFull: spansDropped.cell({ [HEARTH_ATTR.reason]: 'queue_full' }),
      exportFailed: spansDropped.cell({ [HEARTH_ATTR.reason]: 'export_failed' }),
      logs: logsDropped.cell({}),
    },
    finished(invocation) {
      if (invocation.probe) return;
      const cells = cellsOf(invocation);
      const { facts, error } = invocation;
      if (facts !== null) {
        const { wait, acquire = 0, transfer = 0, compile = 0, evaluate = 0 } = facts.phases;
        const invokedAt = facts.arrivedAtMs + wait + acquire + transfer + compile + evaluate;
        cells.invokeDuration.record(Math.max(0, invocation.endedAtMs - invokedAt) / 1000);
        if (facts.start === 'cold') coldStart(invocation, cells);
      }
      if (error === null) cells.invocations.value++;
      else failure(error.code, cells);
    },
    direct(functionName, calls, failed) {
      const cells = neighbours.getOrInsertComputed(functionName, () => {
        const attributes = { [ATTR.faasName]: functionName };
        return { calls: groupCalls.cell(attributes), errors: groupErrors.cell(attributes) };
      });
      cells.calls.value += calls;
      cells.errors.value += failed;
    },
    acquired: (durationMs) => acquireCell.record(durationMs / 1000),
    queueDepth(queue, depth, oldestAgeMs) {
      const cells = queues.getOrInsertComputed(queue, () => {
        const attributes = { [ATTR.messagingDestination]: queue };
        return { depth: { attributes, value: 0 }, age: { attributes, value: 0 } };
      });
      cells.depth.value = depth;
      cells.age.value = oldestAgeMs / 1000;
    },
    forgetFunction(functionName) {
      for (const byArm of functions.get(functionName)?.values() ?? []) drop(byArm);
      functions.delete(functionName);
      const cells = neighbours.get(functionName);
      if (cells === undefined) return;
      groupCalls.drop(cells.calls);
      groupErrors.drop(cells.errors);
      neighbours.delete(functionName);
    },
    forgetVersions(functionName, named) {
      const byVersion = functions.get(functionName);
      for (const [version, byArm] of byVersion ?? []) {
        if (version === OTHER || named(version)) continue;
        drop(byArm);
        byVersion?.delete(version);
      }
    },
    forgetQueue: (queue) => void queues.delete(queue),
  };
}

function attributesOf(
  functionName: string,
  version: string,
  arm: string,
  trigger: TriggerKind,
): Record<string, string> {
  return {
    [ATTR.faasName]: functionName,
    [ATTR.faasTrigger]: FAAS_TRIGGER[trigger],
    [ATTR.faasVersion]: version,
    [HEARTH_ATTR.arm]: arm,
  };
}
