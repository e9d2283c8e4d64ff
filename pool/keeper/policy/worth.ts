/**
 * What an idle instance is worth: the cold starts that it spares its callers for each MB and hour that it stands there.
 * Keeping those above one price, and none below it, spares the most cold starts that the same memory-time can: a
 * fixed time, however chosen, spends as much on a large function that nobody calls as on a small one in daily use.
 *
 * How soon it is used again is a rate: Poisson with a gamma prior, so that what was never idle before is neither dropped
 * at once nor kept for ever, and each hour that it stands idle makes it less likely to be used soon.
 */

/** What was seen of one kind of idle times. What is long past counts less and less. */
export interface Evidence {
  /** Idle times that a use ended. */
  uses: number;
  /** What they and those ended otherwise come to, without the time that everything is kept anyway; ms. */
  idleMs: number;
}

/** What is believed before anything is seen, in the same terms; and after how many uses all that was seen is halved. */
export interface Prior extends Evidence {
  halveAt: number;
}

export const NO_EVIDENCE: Evidence = { uses: 0, idleMs: 0 };

/** Cold starts spared by a MB in an hour: whoever is worth less goes though there is memory left. */
export const FLOOR_PRICE = 0.01;

const HOUR_MS = 3_600_000;

export function learned({ uses, idleMs }: Evidence, idleTimeMs: number, used: boolean, prior: Prior): Evidence {
  const more = { uses: uses + (used ? 1 : 0), idleMs: idleMs + Math.max(0, idleTimeMs) };
  return more.uses < prior.halveAt ? more : { uses: more.uses / 2, idleMs: more.idleMs / 2 };
}

/** Uses to be expected within the next hour, after so long without one. */
export function usesPerHour(evidence: Evidence, prior: Prior, idleMs: number): number {
  return ((evidence.uses + prior.uses) * HOUR_MS) / (evidence.idleMs + prior.idleMs + Math.max(0, idleMs));
}

/**
 * After how long idle it is worth no more than the price, ms; below nothing when it is worth less from the beginning.
 *
 * @param weight what one cold start of it counts
 */
export function worthwhileMs(
  evidence: Evidence,
  prior: Prior,
  { weight, memoryMb, price }: { weight: number; memoryMb: number; price: number },
): number {
  const bearable = ((evidence.uses + prior.uses) * HOUR_MS * weight) / (price * Math.max(memoryMb, 1));
  return bearable - evidence.idleMs - prior.idleMs;
}

/** A cold start counts up to so many times as much, with who is called rarely and found cold often. */
const MOST_EXTRA = 5;
/** So many cold starts of a function with one call an hour, all of them cold, would count so much more. */
const EXTRA = 110;

/**
 * What one cold start of a function counts: one, and more the larger the part of its calls is that it makes cold. Who
 * calls a function twice an hour sees one cold call in four as a slow function; for one with a call a second it is lost
 * among the others.
 */
export function weightOf(coldShare: number, callsPerHour: number): number {
  return 1 + Math.min((EXTRA * coldShare) / Math.max(callsPerHour, 1e-6), MOST_EXTRA);
}
