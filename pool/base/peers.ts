/** Which module of this base answers the calls of its neighbours, function by function, as the gateway says. */
import type { GuestModule } from './guest.ts';

export interface PeersOptions {
  module(name: string): GuestModule | undefined;
  /** Tells the gateway which modules were called, as it does not see these calls: each so often, and failed so often. */
  used(modules: string[], calls: number[], failed: number[]): void;
}

/** How often the gateway hears of calls: well below the shortest time after which it takes a module out. */
const TELL_MS = 200;

export class Peers {
  readonly #options: PeersOptions;
  /** Function name → module name. */
  readonly #serving = new Map<string, string>();
  #used = new Map<string, { calls: number; failed: number }>();
  #timer: NodeJS.Timeout | null = null;

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  /** Null: its calls go over the link. */
  serve(functionName: string, module: string | null): void {
    if (module === null) this.#serving.delete(functionName);
    else this.#serving.set(functionName, module);
  }

  find(functionName: string): GuestModule | undefined {
    const name = this.#serving.get(functionName);
    return name === undefined ? undefined : this.#options.module(name);
  }

  called(module: string): void {
    this.#countsOf(module).calls++;
  }

  failed(module: string): void {
    this.#countsOf(module).failed++;
  }

  #countsOf(module: string): { calls: number; failed: number } {
    this.#timer ??= setTimeout(() => this.#tell(), TELL_MS);
    const known = this.#used.get(module);
    if (known !== undefined) return known;
    const counts = { calls: 0, failed: 0 };
    this.#used.set(module, counts);
    return counts;
  }

  #tell(): void {
    this.#timer = null;
    const used = this.#used;
    this.#used = new Map();
    const counts = [...used.values()];
    this.#options.used(
      [...used.keys()],
      counts.map(({ calls }) => calls),
      counts.map(({ failed }) => failed),
    );
  }
}
