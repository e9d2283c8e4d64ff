/** The base's side of being watched: says what it may use and what runs, and answers the host whenever its loop turns. */
import { getHeapStatistics } from 'node:v8';
import { threadId } from 'node:worker_threads';
import {
  ASLEEP,
  COLLECT,
  CPU_MS,
  type Gauges,
  MEMORY_MB,
  makeGauge,
  OFF_HEAP_KIB,
  OWN_KIB,
  PING,
  PLACE,
  PONG,
  RUNNING,
  STREAM,
  THREAD,
} from './gauge.ts';
import { OffHeap } from './meter-off-heap.ts';
import { Rest } from './rest.ts';

// Function code shares the realm. Who replaced one of these would be handed the gauge, and write its own limits into it.
const { load, store, exchange, notify, waitAsync } = Atomics;
const { ceil, min } = Math;

/** After the last of several modules that left. */
const TIDY_MS = 3_000;
/** From so many on the heap is full of holes, and worth the longer pause in which its pages are given back. */
const MANY_LEFT = 20;

/** Like the garbage collection of a system without memory: pages go back, and compiled code that nobody runs. */
const THOROUGH = { type: 'major', execution: 'sync', flavor: 'last-resort' } as const;

interface ModuleLimits {
  module: string;
  memoryMb: number;
  cpuMs: number;
}

export class Meter {
  readonly #gauge: Int32Array;
  readonly #wake: Int32Array;
  readonly #offHeap: OffHeap;
  readonly #collect: Collect;
  readonly #rest: Rest;
  readonly #limits: ModuleLimits[] = [];
  /** Modules that left since the last time. */
  #untidy = 0;
  #tidying: NodeJS.Timeout | null = null;

  /** Without gauges nobody watches, as in tests of a base alone. */
  constructor(gauges: Gauges | undefined) {
    this.#gauge = gauges?.gauge ?? makeGauge();
    this.#wake = gauges?.wake ?? makeGauge();
    this.#gauge[THREAD] = threadId;
    this.#collect = takeCollector();
    this.#offHeap = new OffHeap({
      changed: (bytes) => {
        this.#gauge[OFF_HEAP_KIB] = ceil(bytes / 1024);
      },
      collect: () => this.#collect(),
    });
    // What goes is code that was needed for boot alone.
    this.#rest = new Rest(() => this.#collect(THOROUGH));
    void this.#answer();
  }

  /** Puts the counting constructors in place. What is in use now counts as the base's own. */
  install(): void {
    this.#offHeap.install(globalThis);
    const { used_heap_size: heap, external_memory: external } = getHeapStatistics();
    this.#gauge[OWN_KIB] = ceil((heap + external) / 1024);
  }

  /** What lived shortly goes, for half a millisecond. */
  collectYoung(): void {
    this.#collect({ type: 'minor', execution: 'sync' });
  }

  /** Of several modules in one base: the memory of all together, the shortest turn. */
  leased(module: string, memoryMb: number, cpuMs: number): void {
    if (memoryMb > 0) this.#rest.leased();
    this.#limits[this.#limits.length] = { module, memoryMb, cpuMs };
    this.#limit();
  }

  /** It is out, and what it was allowed with it. */
  left(module: string): void {
    let kept = 0;
    for (let at = 0; at < this.#limits.length; at++) {
      const limits = this.#limits[at] as ModuleLimits;
      if (limits.module !== module) this.#limits[kept++] = limits;
    }
    this.#limits.length = kept;
    this.#limit();
  }

  /** By index alone: there is no method that could have been replaced. */
  #limit(): void {
    let memory = 0;
    let turn = 0;
    for (let at = 0; at < this.#limits.length; at++) {
      const { memoryMb, cpuMs } = this.#limits[at] as ModuleLimits;
      memory += memoryMb;
      if (cpuMs > 0) turn = turn === 0 ? cpuMs : min(turn, cpuMs);
    }
    this.#gauge[MEMORY_MB] = memory;
    this.#gauge[CPU_MS] = turn;
    this.#offHeap.limitBytes = memory * 2 ** 20;
  }

  /** A rehearsal's module is gone again. */
  rehearsed(): void {
    this.#rest.begin();
  }

  /**
   * What a module of a group left behind is given back when the base has nothing to do: else it would stay for as long as
   * nobody else asks for memory.
   */
  tidySoon(): void {
    this.#untidy++;
    if (this.#tidying === null) this.#tidying = setTimeout(() => this.#tidy(), TIDY_MS).unref();
    else this.#tidying.refresh();
  }

  #tidy(): void {
    if ((this.#gauge[RUNNING] ?? 0) > 0) {
      this.#tidying?.refresh();
      return;
    }
    this.#tidying = null;
    const gauge = this.#gauge;
    const cpuMs = gauge[CPU_MS] ?? 0;
    // What this takes is no module's turn.
    gauge[CPU_MS] = 0;
    if (this.#untidy < MANY_LEFT) this.#collect();
    else this.#collect(THOROUGH);
    this.#untidy = 0;
    if (gauge[COLLECT] === 0) gauge[PONG] = gauge[PING] ?? 0;
    gauge[CPU_MS] = cpuMs;
  }

  enter(): void {
    const gauge = this.#gauge;
    gauge[RUNNING] = (gauge[RUNNING] ?? 0) + 1;
    // Its frame was read, so the loop has turned: were this left to the answer, which may stand behind the call in the
    // queue, the turns of one call after another would count as one.
    if (gauge[COLLECT] === 0) gauge[PONG] = gauge[PING] ?? 0;
    if (this.#wake[ASLEEP] !== 0) this.#wakeHost();
  }

  leave(): void {
    const gauge = this.#gauge;
    gauge[RUNNING] = (gauge[RUNNING] ?? 0) - 1;
  }

  /** Code that belongs to this stream is about to run. */
  active(stream: number): void {
    this.#gauge[STREAM] = stream;
  }

  /** Code of the module with this number is about to run. Returns whose ran before. */
  turnTo(place: number): number {
    const before = this.#gauge[PLACE] ?? 0;
    this.#gauge[PLACE] = place;
    return before;
  }

  #wakeHost(): void {
    store(this.#wake, ASLEEP, 0);
    notify(this.#wake, ASLEEP);
  }

  async #answer(): Promise<never> {
    const gauge = this.#gauge;
    for (;;) {
      const ping = load(gauge, PING);
      if (exchange(gauge, COLLECT, 0) === 1) this.#collect();
      store(gauge, PONG, ping);
      const waiting = waitAsync(gauge, PING, ping);
      if (waiting.async) await waiting.value;
    }
  }
}

/** V8's `gc`. */
type Collect = (
  options?: { type: 'minor'; execution: 'sync' } | { type: 'major'; execution: 'sync'; flavor: 'last-resort' },
) => void;

/** Hosts are started with --expose-gc: the collector is for the base alone. */
function takeCollector(): Collect {
  const holder = globalThis as { gc?: Collect | undefined };
  const collect = holder.gc;
  if (collect === undefined) return () => undefined;
  // V8 lets nobody delete it.
  holder.gc = undefined;
  return collect;
}
