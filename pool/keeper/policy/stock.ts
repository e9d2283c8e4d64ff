/**
 * How many warm bases of one definition stand ready for functions nobody has asked for yet. A base that is taken is
 * missing until another has booted, so the stock has to last for one boot: it is sized like any store that is refilled
 * order by order, to the leases expected in that time and a margin for chance.
 *
 *   leases in one boot, seen ──► expected (rises at once, halves each minute) ──► target, between floor and ceiling
 */

/** What was expected halves in so long without leases: an hourly crowd is not waited for, a minutely one is. */
const HALF_LIFE_MS = 60_000;
/** Standard deviations of a Poisson process beyond its mean: a boot in forty sees more leases. */
const MARGIN = 2;
/** A first guess, and how much a new boot says against what was known. */
const FIRST_BOOT_MS = 100;
const BOOT_WEIGHT = 0.2;
/** Boots that are slow because the machine is overloaded must not lead to ever more of them. */
const MOST_BOOT_MS = 1_000;

/** Of what all hosts may use, what stock beyond its floor may fill up to: the rest is for what is leased. */
const STOCK_SHARE = 0.5;
/** An idle base with its part of a host. */
const BASE_MB = 20;

/** What is remembered of one definition. Times are monotonic ms. */
export class LeaseDemand {
  #bootMs = FIRST_BOOT_MS;
  /** Leases within the last boot time: each counts 1 and fades with the boot time, so leases at rate r come to r × boot. */
  #recent = 0;
  #expected = 0;
  #at = Number.NEGATIVE_INFINITY;

  /** A base was asked for, whether there was one or not. */
  leased(now: number): void {
    const passed = now - this.#at;
    this.#recent = 1 + this.#recent * Math.exp(-passed / this.#bootMs);
    this.#expected = Math.max(this.#recent, faded(this.#expected, passed));
    this.#at = now;
  }

  /** A base took so long from its start to being warm. */
  booted(ms: number): void {
    this.#bootMs += BOOT_WEIGHT * (Math.min(ms, MOST_BOOT_MS) - this.#bootMs);
  }

  /** Leases that one boot time may bring, from what was seen and how long ago. */
  expected(now: number): number {
    return faded(this.#expected, now - this.#at);
  }
}

function faded(expected: number, passedMs: number): number {
  return expected === 0 ? 0 : expected * 0.5 ** (passedMs / HALF_LIFE_MS);
}

export interface StockView {
  /** Leases that one boot time may bring. */
  expected: number;
  /** Warm bases that the operator wants at least; 0: none at all, each lease boots its own. */
  floor: number;
  /** See stockCeiling. */
  ceiling: number;
}

/** Warm bases wanted without a lessee. */
export function stockTarget({ expected, floor, ceiling }: StockView): number {
  if (floor === 0) return 0;
  const wanted = Math.ceil(expected + MARGIN * Math.sqrt(expected));
  return Math.max(floor, Math.min(wanted, ceiling));
}

export interface MemoryView {
  /** What hosts may use together, and what they use now, MB. */
  memoryMb: number;
  usedMb: number;
  /** Warm and booting bases that are part of it. */
  stock: number;
}

/** Bases in stock that memory has room for. Less than none when what is leased takes more than its part. */
export function stockCeiling({ memoryMb, usedMb, stock }: MemoryView): number {
  return stock + Math.floor((memoryMb * STOCK_SHARE - usedMb) / BASE_MB);
}

export interface BootView {
  /** Warm bases without a lessee. */
  warm: number;
  target: number;
  /** Somebody waits for a base of this definition. */
  awaited: boolean;
  /** Requests wait for a slot in what runs already. */
  requestsWait: boolean;
  /** For how many ms leases have come one after another; null: they do not just now. */
  burstMs: number | null;
}

/** A burst that lasts longer is load: its next leases need stock more than its last ones need the cores. */
const BURST_MS = 300;

/**
 * Whether stock is booted now rather than later. A boot takes a core for some 60 ms, and 140 with a new host: while
 * requests wait, or a burst of leases is under way, that core is better used for them.
 */
export function mayBoot({ warm, target, awaited, requestsWait, burstMs }: BootView): boolean {
  if (awaited) return true;
  if (burstMs !== null && burstMs < BURST_MS) return false;
  if (warm === 0) return true;
  return !requestsWait && !(burstMs !== null && warm > target / 4);
}

/** How many warm bases too many are ended at once: an eighth of them, so that a great stock shrinks as a small one does. */
export function surplusStep(surplus: number): number {
  return surplus <= 0 ? 0 : Math.ceil(surplus / 8);
}
