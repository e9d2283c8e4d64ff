/**
 * Metrics as Prometheus text (version 0.0.4), names after OpenTelemetry's rules for Prometheus: dots become
 * underscores, the unit and `_total` go to the end. Written in turns of the event loop, so that thousands of functions
 * do not hold up requests.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CounterCell, HistogramCell, MetricAttributes, MetricFamily, MetricName } from './instruments.ts';

export const PROMETHEUS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Cells written in one turn: about a millisecond's work. */
const CELLS_PER_TURN = 50;

/** In pieces of some ten KB. */
export async function* prometheusText(families: readonly MetricFamily[]): AsyncGenerator<string, void, void> {
  for (const family of families) {
    const name = prometheusName(family.metric, family.kind);
    const type = family.kind === 'observed-counter' ? 'counter' : family.kind;
    // A copy: cells may come and go between turns.
    const cells = 'cells' in family ? [...family.cells] : await family.observe();
    if (cells.length === 0) continue;
    let text = `# HELP ${name} ${escapeHelp(family.metric.description)}\n# TYPE ${name} ${type}\n`;
    for (const [index, cell] of cells.entries()) {
      text += 'counts' in cell ? histogramLines(name, cell) : counterLine(name, cell);
      if (index % CELLS_PER_TURN !== CELLS_PER_TURN - 1) continue;
      yield text;
      text = '';
      await nextTurn();
    }
    yield text;
  }
}

const UNIT_SUFFIX: Readonly<Record<string, string>> = { s: '_seconds', By: '_bytes' };

function prometheusName(metric: MetricName, kind: MetricFamily['kind']): string {
  const suffix = kind === 'counter' || kind === 'observed-counter' ? '_total' : '';
  return metric.name.replaceAll(/[^a-zA-Z0-9_]/g, '_') + (UNIT_SUFFIX[metric.unit] ?? '') + suffix;
}

function counterLine(name: string, cell: CounterCell): string {
  const labels = labelText(cell.attributes);
  return labels === '' ? `${name} ${cell.value}\n` : `${name}{${labels}} ${cell.value}\n`;
}

function histogramLines(name: string, cell: HistogramCell): string {
  const labels = labelText(cell.attributes);
  const inner = labels === '' ? '' : `${labels},`;
  const own = labels === '' ? '' : `{${labels}}`;
  let cumulative = 0;
  let lines = '';
  for (const [index, count] of cell.counts.entries()) {
    cumulative += count;
    lines += `${name}_bucket{${inner}le="${cell.bounds[index] ?? '+Inf'}"} ${cumulative}\n`;
  }
  return `${lines}${name}_sum${own} ${cell.sum}\n${name}_count${own} ${cell.count}\n`;
}

function labelText(attributes: MetricAttributes): string {
  let text = '';
  for (const [key, value] of Object.entries(attributes)) {
    if (text !== '') text += ',';
    text += `${key.replaceAll(/[^a-zA-Z0-9_]/g, '_')}="${escapeLabel(value)}"`;
  }
  return text;
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function escapeHelp(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}
