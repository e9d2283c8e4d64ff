/** The instances of one version: which takes the next call, which are idle, and how many there are of each kind. */
import { monotonicMs } from '../../functions/contract/invocation.ts';
import type { Instance } from './instance.ts';
import { handicap } from './policy/scaling.ts';

export class Instances {
  /** In order of their making. It changes with loads and ends, never with calls: see pool/link/table.ts. */
  readonly #all = new Set<Instance>();

  get all(): ReadonlySet<Instance> {
    return this.#all;
  }

  add(instance: Instance): void {
    this.#all.add(instance);
  }

  delete(instance: Instance): void {
    this.#all.delete(instance);
  }

  /** The free one with the fewest in flight, the oldest of equals: so that others become idle. */
  choose(): Instance | undefined {
    let best: Instance | undefined;
    let fewest = Number.POSITIVE_INFINITY;
    for (const instance of this.#all) {
      if (!instance.free) continue;
      const load = instance.inFlight + instance.handicap;
      if (load >= fewest) continue;
      best = instance;
      fewest = load;
    }
    return best;
  }

  /** What a new instance is spared shrinks with its age. */
  ease(instance: Instance): void {
    let others = 0;
    let inFlight = 0;
    for (const other of this.#all) {
      if (other === instance || other.state === 'draining') continue;
      inFlight += other.inFlight;
      if (other.state === 'ready') others++;
    }
    instance.handicap = handicap(monotonicMs() - instance.readyAt, others === 0 ? 0 : inFlight / others);
  }

  get inFlight(): number {
    let sum = 0;
    for (const instance of this.#all) sum += instance.inFlight;
    return sum;
  }

  get busyLoops(): number {
    let busy = 0;
    for (const instance of this.#all) if (instance.loop.busy) busy++;
    return busy;
  }

  /** What one takes, its base included, MB: the mean of what was measured; null when nothing was. */
  get memoryMb(): number | null {
    let sum = 0;
    let known = 0;
    for (const { memoryMb } of this.#all) {
      if (memoryMb === null) continue;
      sum += memoryMb;
      known++;
    }
    return known === 0 ? null : sum / known;
  }

  /** Those that take calls, and those that will once their code is loaded. */
  get count(): { ready: number; loading: number } {
    let ready = 0;
    let loading = 0;
    for (const { state } of this.#all) {
      if (state === 'ready') ready++;
      else if (state === 'acquiring' || state === 'loading') loading++;
    }
    return { ready, loading };
  }

  /** Bases that take calls or will. */
  get bases(): number {
    let bases = 0;
    for (const { state } of this.#all) if (state === 'loading' || state === 'ready') bases++;
    return bases;
  }

  get ready(): Instance[] {
    return [...this.#all].filter(({ state }) => state === 'ready');
  }

  /** The one that was used longest ago first; none that is looked at. */
  get idle(): Instance[] {
    const idle = this.ready.filter(({ inFlight, base }) => inFlight === 0 && base.profiled === null);
    return idle.sort((a, b) => a.lastUsedAt - b.lastUsedAt);
  }
}
