export interface RiskOrder {
  positions: { value: number; volatility: number }[];
  /** Worth of all positions today. */
  total: number;
  days: number;
  paths: number;
  seed: number;
}

/** Positions times paths: what bounds the work of one call, about a second. */
const MOST_STEPS = 20_000_000;

export function parseOrder(body: unknown): RiskOrder | { error: string } {
  if (typeof body !== 'object' || body === null) return { error: 'send a JSON object with positions' };
  const { positions, days = 10, paths = 100_000, seed = 1 } = body as Record<string, unknown>;

  if (!Array.isArray(positions) || positions.length < 1 || positions.length > 100) {
    return { error: 'positions: 1 to 100 of {value, volatility}' };
  }
  const checked = positions.map((position) => ({
    value: Number(position?.value),
    volatility: Number(position?.volatility),
  }));
  if (!checked.every(({ value }) => value > 0 && value <= 1e12)) return { error: 'value: above 0, at most 1e12' };
  if (!checked.every(({ volatility }) => volatility > 0 && volatility <= 3)) {
    return { error: 'volatility: a year, above 0, at most 3 (0.2 means 20 %)' };
  }
  if (!isWhole(days, 1, 252)) return { error: 'days: a whole number from 1 to 252' };
  if (!isWhole(paths, 1_000, 1_000_000)) return { error: 'paths: a whole number from 1000 to 1000000' };
  if (!isWhole(seed, 0, 2 ** 32 - 1)) return { error: 'seed: a whole number from 0 to 4294967295' };
  if (paths * checked.length > MOST_STEPS) return { error: `positions times paths: at most ${MOST_STEPS}` };

  return { positions: checked, total: checked.reduce((sum, { value }) => sum + value, 0), days, paths, seed };
}

function isWhole(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;
}
