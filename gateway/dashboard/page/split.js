/** Moving a slider: the other versions give or take what is left, in proportion to what they have. */

/** @import { Split } from './types.d.ts' */

/**
 * Whole percents that add up to 100.
 *
 * @param {readonly Split[]} split
 * @param {string} version
 * @param {number} wanted
 * @returns {Split[]}
 */
export function rebalance(split, version, wanted) {
  const percent = Math.min(100, Math.max(0, Math.round(Number.isFinite(wanted) ? wanted : 0)));
  const others = split.filter((arm) => arm.version !== version);
  if (others.length === 0) return split.map((arm) => ({ ...arm, percent: 100 }));
  const shares = distribute(
    100 - percent,
    others.map((arm) => arm.percent),
  );
  let at = 0;
  return split.map((arm) => ({ ...arm, percent: arm.version === version ? percent : (shares[at++] ?? 0) }));
}

/**
 * @param {number} total
 * @param {readonly number[]} weights All zero: as equal ones.
 * @returns {number[]}
 */
function distribute(total, weights) {
  const sum = weights.reduce((all, weight) => all + weight, 0);
  const exact = weights.map((weight) => (sum === 0 ? total / weights.length : (total * weight) / sum));
  const whole = exact.map(Math.floor);
  let left = total - whole.reduce((all, share) => all + share, 0);
  // Those that lost most by rounding down get what is left, one each.
  const byLoss = exact.map((share, at) => ({ at, loss: share - Math.floor(share) })).sort((a, b) => b.loss - a.loss);
  for (const { at } of byLoss) {
    if (left <= 0) break;
    whole[at] = (whole[at] ?? 0) + 1;
    left--;
  }
  return whole;
}
