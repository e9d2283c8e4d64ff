/**
 * Profiles of running functions. A CPU profile leaves its base as it is. A heap snapshot makes it stand still for seconds,
 * and takes several times the heap in its host's memory, which that never gives back: so no new calls go there meanwhile,
 * and when it is over all that the host holds moves to others and the host ends.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import type { ProfileKind } from '../host/messages.ts';
import type { Profile, ProfileRequest } from './api.ts';
import type { FunctionPool } from './function-pool.ts';
import type { Base } from './hosts/base.ts';
import type { HostProcess } from './hosts/host-process.ts';
import type { Instance } from './instance.ts';

export interface ProfilesOptions {
  pools(): Iterable<FunctionPool>;
  /** What hosts of this pool may use together, and use, MB. */
  memory(pool: string): { memoryMb: number; usedMb: number };
  /** All it holds moves to other hosts, and it ends. */
  vacate(host: HostProcess, why: string): void;
  event(base: Base, functionName: string, why: string): void;
}

/** Of memory for a snapshot of a heap: seen were six times the heap for few large objects, nine for many small ones. */
export const SNAPSHOT_FACTOR = 10;
/** The base itself is in it. */
const BASE_HEAP_MB = 10;

function requireOne(host: HostProcess): void {
  if (host.profiling !== null) throw new HearthError('CONFLICT', `A profile of its host ${host.id} is under way.`);
}

export class Profiles {
  readonly #options: ProfilesOptions;

  constructor(options: ProfilesOptions) {
    this.#options = options;
  }

  /** See Keeper. */
  take(functionName: string, { kind, durationMs, instance, admit, signal }: ProfileRequest): Profile {
    const chosen = this.#choose(functionName, instance);
    const { base } = chosen;
    const { host } = base;
    const functions = new Set([functionName]);
    for (const one of this.#instances()) if (one.placed && one.base === base) functions.add(one.spec.functionName);
    const subject = { instance: base.id, host: host.id, version: chosen.spec.version, functions: [...functions] };
    admit(subject);
    requireOne(host);
    const snapshotMb = kind === 'heap' ? this.#memoryMb(base) : 0;
    const begin = () => {
      requireOne(host);
      host.snapshotMb = Math.max(host.snapshotMb, snapshotMb);
      base.profiled = kind;
      const what = kind === 'cpu' ? 'CPU profile' : 'heap snapshot: it stands still meanwhile';
      this.#options.event(base, functionName, what);
      return host.profile(base.id, kind, durationMs, signal);
    };
    return { ...subject, pieces: this.#watched(base, kind, begin) };
  }

  async *#watched(base: Base, kind: ProfileKind, begin: () => AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
    const pieces = begin();
    const free = () => {
      if (base.profiled === null) return;
      base.profiled = null;
      for (const pool of this.#options.pools()) pool.serveWaiting();
    };
    try {
      for await (const piece of pieces) {
        // With the first one its thread goes on.
        free();
        yield piece;
      }
    } finally {
      free();
      if (kind === 'heap') this.#options.vacate(base.host, 'a heap snapshot was taken in it');
    }
  }

  /** The busiest one, or that which was used last, unless it is named. */
  #choose(functionName: string, id: string | null): Instance {
    let best: Instance | null = null;
    for (const one of this.#instances()) {
      if (one.spec.functionName !== functionName || one.state !== 'ready') continue;
      if (id !== null && one.base.id !== id) continue;
      const better =
        best === null ||
        one.inFlight > best.inFlight ||
        (one.inFlight === best.inFlight && one.lastUsedAt > best.lastUsedAt);
      if (better) best = one;
    }
    if (best !== null) return best;
    throw new HearthError(
      'CONFLICT',
      id === null
        ? `No instance of "${functionName}" runs just now: call it, and ask again while it does.`
        : `"${functionName}" has no instance "${id}" that runs: GET /v1/pool shows which bases hold it.`,
    );
  }

  *#instances(): Iterable<Instance> {
    for (const pool of this.#options.pools()) yield* pool.instances;
  }

  /** What it may take. Throws when that is not to be had. */
  #memoryMb(base: Base): number {
    const { memoryMb, usedMb } = this.#options.memory(base.host.pool);
    const heapMb = (base.heldMb ?? base.lessee?.spec.limits.memoryMb ?? 0) + BASE_HEAP_MB;
    const needMb = Math.ceil(heapMb * SNAPSHOT_FACTOR);
    if (usedMb + needMb <= memoryMb) return needMb;
    const room = `${Math.round(usedMb)} of ${Math.round(memoryMb)} MB are in use`;
    throw new HearthError(
      'NO_CAPACITY',
      `A snapshot of this heap may take ${needMb} MB for some seconds, and of the pool's memory ${room}.`,
    );
  }
}
