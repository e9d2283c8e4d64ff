/**
 * Between what is committed because a version comes up on the generation of its base in use, and what puts another
 * generation in use: commits go beside each other, a switch goes alone. Both take as long as a commit of the store;
 * nothing is built, proved or moved in here.
 */
export interface BaseGate {
  /** Counts the switches of this base. What was found out about its generation in use holds while the count is the same. */
  turn(base: string): number;
  /** Runs beside other commits, and not while a base is switched. Not within another of these. */
  commit<Result>(work: () => Promise<Result>): Promise<Result>;
  /** Runs alone, in the order in which they came; the count has risen when it is over, however it ended. */
  switch<Result>(base: string, work: () => Promise<Result>): Promise<Result>;
}

export function createBaseGate(): BaseGate {
  const turns = new Map<string, number>();
  const commits = new Set<Promise<unknown>>();
  let lastSwitch: Promise<unknown> = Promise.resolve();
  const turn = (base: string) => turns.get(base) ?? 0;

  return {
    turn,
    commit(work) {
      const done = lastSwitch.then(work);
      const ended: Promise<unknown> = done.catch(() => undefined).then(() => commits.delete(ended));
      commits.add(ended);
      return done;
    },
    switch(base, work) {
      // Those that come later wait for this one: so it does not wait for ever.
      const done = Promise.all([lastSwitch, ...commits])
        .then(work)
        .finally(() => turns.set(base, turn(base) + 1));
      lastSwitch = done.catch(() => undefined);
      return done;
    },
  };
}
