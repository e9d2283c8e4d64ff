/** Pictures of figures, as SVG. Each has its words beside it or in its label: nobody needs to see it to know. */
import { duration } from './format.js';
import { html, nothing, svg } from './lit.js';

/** @import { FigureStep } from './types.d.ts' */

/** What an invocation goes through, in this order. */
export const PHASES = ['wait', 'acquire', 'transfer', 'compile', 'evaluate', 'run'];

/**
 * Columns without axes, beside the figure they belong to.
 *
 * @param {readonly number[]} values
 */
export function sparkline(values) {
  const most = Math.max(1, ...values);
  const width = 4;
  return html`<svg class="sparkline" viewBox="0 0 120 24" aria-hidden="true" preserveAspectRatio="none">
    ${values.map((value, at) => {
      const height = value === 0 ? 0 : Math.max(1.5, (22 * value) / most);
      const x = 120 - (values.length - at) * width;
      return value === 0 ? nothing : svg`<rect x=${x} y=${24 - height} width="3" height=${height} />`;
    })}
    <path class="axis" d="M0 23.500H120" />
  </svg>`;
}

const WIDTH = 600;
const HEIGHT = 140;
const LEFT = 52;
const BOTTOM = 118;
const TOP = 10;

/**
 * One column for each step of ten seconds; what failed stands at its foot.
 *
 * @param {readonly FigureStep[]} steps
 * @param {number} slots Steps that have room: younger ones stand to the right.
 */
export function callsChart(steps, slots) {
  const most = niceMost(Math.max(1, ...steps.map(({ calls }) => calls)));
  const width = (WIDTH - LEFT) / slots;
  const total = steps.reduce((sum, { calls }) => sum + calls, 0);
  const errors = steps.reduce((sum, step) => sum + step.errors, 0);
  const label = `Calls in steps of ten seconds: ${total} in all, ${errors} of them failed; the step with most had ${Math.max(0, ...steps.map(({ calls }) => calls))}.`;
  /** @param {number} value */
  const y = (value) => BOTTOM - ((BOTTOM - TOP) * value) / most;
  return frame(
    label,
    String(most),
    steps.map(({ calls, errors }, at) => {
      const x = WIDTH - (steps.length - at) * width;
      return svg`
        ${calls === 0 ? nothing : svg`<rect class="bar" x=${x + 1} width=${width - 2} y=${y(calls)} height=${BOTTOM - y(calls)} />`}
        ${errors === 0 ? nothing : svg`<rect class="bar failed" x=${x + 1} width=${width - 2} y=${y(errors)} height=${BOTTOM - y(errors)} />`}`;
    }),
  );
}

/**
 * @param {readonly FigureStep[]} steps
 * @param {number} slots
 */
export function durationChart(steps, slots) {
  const known = steps.flatMap(({ p95Ms }) => (p95Ms === null ? [] : [p95Ms]));
  const most = niceMost(Math.max(0.1, ...known));
  const width = (WIDTH - LEFT) / slots;
  const points = steps.flatMap(({ p95Ms }, at) =>
    p95Ms === null
      ? []
      : [{ x: WIDTH - (steps.length - at - 0.5) * width, y: BOTTOM - ((BOTTOM - TOP) * p95Ms) / most }],
  );
  const label =
    known.length === 0
      ? '95th percentile of the duration: no calls.'
      : `95th percentile of the duration in steps of ten seconds: between ${duration(Math.min(...known))} and ${duration(Math.max(...known))}.`;
  const line = points.map(({ x, y }, at) => `${at === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`).join('');
  return frame(label, duration(most), [
    line === '' ? nothing : svg`<path class="line" d=${line} />`,
    ...points.map(({ x, y }) => svg`<circle class="point" cx=${x} cy=${y} r="3" />`),
  ]);
}

/**
 * @param {string} label
 * @param {string} most What the upper line stands for.
 * @param {readonly unknown[]} content
 */
function frame(label, most, content) {
  return html`<svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label=${label}>
    <path class="axis" d="M${LEFT} ${TOP}H${WIDTH}" />
    <path class="axis" d="M${LEFT} ${BOTTOM}H${WIDTH}" />
    <text x=${LEFT - 8} y=${TOP + 5} text-anchor="end">${most}</text>
    <text x=${LEFT - 8} y=${BOTTOM + 4} text-anchor="end">0</text>
    <text x=${LEFT} y=${HEIGHT - 4}>5 minutes ago</text>
    <text x=${WIDTH} y=${HEIGHT - 4} text-anchor="end">now</text>
    ${content}
  </svg>`;
}

/** The next of 1, 2, 5, 10, 20 … @param {number} value */
export function niceMost(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 5, 10].find((candidate) => candidate * power >= value) ?? 10;
  return Number((step * power).toPrecision(1));
}

/**
 * Phases one after another, as they were.
 *
 * @param {Record<string, number>} phases ms
 */
export function phasesIn(phases) {
  let at = 0;
  return PHASES.flatMap((name) => {
    const ms = phases[name];
    if (ms === undefined) return [];
    const from = at;
    at += ms;
    return [{ name, ms, from }];
  });
}

/**
 * All phases in one bar, on a scale that the bars of a list share.
 *
 * @param {Record<string, number>} phases
 * @param {number} scaleMs
 */
export function phaseBar(phases, scaleMs) {
  const parts = phasesIn(phases);
  const label = parts.map(({ name, ms }) => `${name} ${duration(ms)}`).join(', ');
  return html`<svg class="phases" viewBox="0 0 1000 16" preserveAspectRatio="none" role="img" aria-label=${label}>
    ${parts.map(({ name, ms, from }) => svg`<rect class="phase ${name}" x=${(1000 * from) / scaleMs} width=${Math.max(2, (1000 * ms) / scaleMs)} height="16" />`)}
  </svg>`;
}

/**
 * One line for each phase, each beginning where the one before ended.
 *
 * @param {Record<string, number>} phases
 */
export function waterfall(phases) {
  const parts = phasesIn(phases);
  const total = parts.reduce((sum, { ms }) => sum + ms, 0);
  return html`<table class="waterfall">
    <caption class="hidden">Phases</caption>
    <thead class="hidden"><tr><th scope="col">Phase</th><th scope="col">Duration</th><th scope="col">Picture</th></tr></thead>
    <tbody>
      ${parts.map(
        ({ name, ms, from }) => html`<tr>
          <th scope="row"><span class="swatch ${name}"></span>${name}</th>
          <td class="number">${duration(ms)}</td>
          <td>
            <svg viewBox="0 0 1000 16" preserveAspectRatio="none" aria-hidden="true">
              <rect class="phase ${name}" x=${Math.min(996, (1000 * from) / total)} width=${Math.max(4, (1000 * ms) / total)} height="16" />
            </svg>
          </td>
        </tr>`,
      )}
    </tbody>
  </table>`;
}
