/** One after another per key; keys do not wait for each other. */
export function createLocks(): <Result>(key: string, work: () => Promise<Result>) => Promise<Result> {
  const tails = new Map<string, Promise<void>>();
  return async (key, work) => {
    const before = tails.get(key);
    let release: () => void = () => undefined;
    const own = new Promise<void>((resolve) => {
      release = resolve;
    });
    tails.set(key, own);
    try {
      await before;
      return await work();
    } finally {
      if (tails.get(key) === own) tails.delete(key);
      release();
    }
  };
}
