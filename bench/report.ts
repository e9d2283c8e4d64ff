/** What a run says: a table for a person, a file for later comparison. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');

export interface Environment {
  date: string;
  machine: { cpu: string; cores: number; memoryGb: number; system: string };
  versions: Record<string, string>;
  commit: string;
}

export function environment(): Environment {
  return {
    date: new Date().toISOString(),
    machine: {
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      memoryGb: Math.round(totalmem() / 1024 ** 3),
      system: `${process.platform} ${release()} ${process.arch}`,
    },
    versions: {
      node: process.version,
      workerd: installedVersion('workerd'),
      hono: installedVersion('hono'),
      '@hono/node-server': installedVersion('@hono/node-server'),
      esbuild: installedVersion('esbuild'),
      zod: installedVersion('zod'),
    },
    commit: commit(),
  };
}

/** From the file: not every package exports its package.json. */
function installedVersion(name: string): string {
  const manifest = readFileSync(join(ROOT, 'node_modules', name, 'package.json'), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

/** Short hash, with `+changes` when the tree is not what was committed. */
function commit(): string {
  try {
    const git = (...args: string[]) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim();
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') === '' ? '' : '+changes');
  } catch {
    return 'unknown';
  }
}

/** Columns as wide as their longest cell; the first is text, the others numbers. */
export function table(header: string[], rows: string[][]): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: string[]) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ');
  return [line(header), widths.map((width) => '─'.repeat(width)).join('  '), ...rows.map(line)].join('\n');
}

export function writeResult(name: string, result: unknown): string {
  const folder = join(ROOT, 'bench/results');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.json`);
  writeFileSync(path, `${JSON.stringify(result, rounded, 1)}\n`);
  return path;
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/** Nearest rank. */
export function percentile(values: number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

/** Whether so many samples say anything about a quantile: 100 of them have to lie above it. */
export function quotable(percent: number, samples: number): boolean {
  return Math.round(samples * (100 - percent)) >= 100 * 100;
}

/** The value, or null where there are too few samples to quote it. */
export function quoted(value: number, percent: number, samples: number): number | null {
  return quotable(percent, samples) && Number.isFinite(value) ? value : null;
}

/** A figure in a table; `n/a` where it may not be quoted. */
export function figure(value: number | null, digits = 2): string {
  return value === null || Number.isNaN(value) ? 'n/a' : value.toFixed(digits);
}

export function ratio(value: number | null, reference: number | null): string {
  if (value === null || reference === null) return 'n/a';
  return Number.isFinite(value / reference) ? `${(value / reference).toFixed(2)}×` : '–';
}

/** The line through points (x, y) with the least squares. */
export function leastSquares(points: readonly [x: number, y: number][]): { slope: number; intercept: number } {
  const mean = (pick: (point: readonly [number, number]) => number) =>
    points.reduce((sum, point) => sum + pick(point), 0) / points.length;
  const meanX = mean(([x]) => x);
  const meanY = mean(([, y]) => y);
  const spread = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const slope = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / spread;
  return { slope, intercept: meanY - slope * meanX };
}

/** A microsecond is as fine as anything here is measured; thousands of samples are kept. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Math.round(value * 1000) / 1000 : value;
}
