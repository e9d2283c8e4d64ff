/** Uniform numbers in (0, 1) from a seed, so that the same order gives the same figures. Marsaglia's xorshift32. */
export function createRandom(seed: number): () => number {
  // Zero would stay zero for ever, and small seeds start alike: spread them first.
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) + 0.5) / 2 ** 32;
  };
}

/** Standard normal by Box and Muller. */
export function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
}
