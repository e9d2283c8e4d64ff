/** Which module of this base answers the calls of its neighbours, function by function, as the gateway says. */
import type { GuestModule } from './guest.ts';

export interface PeersOptions {
  module(name: string): GuestModule | undefined;
  /** Tells the gateway which modules were called, as it does not see these calls. */
  used(modules: string[]): void;
}

/** How often the gateway hears of calls: well below the shortest time after which it takes a module out. */
const TELL_MS = 200;

export class Peers {
  readonly #options: PeersOptions;
  /** Function name → module name. */
  readonly #serving = new Map<string, string>();
  #used = new Set<string>();
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
    this.#used.add(module);
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      const modules = [...this.#used];
      this.#used = new Set();
      this.#options.used(modules);
    }, TELL_MS);
  }
}
