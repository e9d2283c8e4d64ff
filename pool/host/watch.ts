/**
 * Watches the bases of a host: each within `memoryMb`, no turn of a loop longer than `limits.cpu_ms`. Looks often while
 * anything runs and seldom otherwise; a base that begins to work wakes it.
 */
import type { Worker } from 'node:worker_threads';
import {
  ASLEEP,
  COLLECT,
  CPU_MS,
  type Gauge,
  MEMORY_MB,
  OFF_HEAP_KIB,
  OWN_KIB,
  PING,
  PLACE,
  PONG,
  RUNNING,
  STREAM,
  THREAD,
} from '../base/gauge.ts';
import { MemoryJudge } from './memory-judge.ts';
import { TurnJudge } from './turn-judge.ts';

/** Prototype bombs were stopped at 130–190 MB with looks 20 ms apart. */
const LOOK_MS = 25;
const SLOW_LOOK_MS = 500;
/** Nothing has run for so long: sleep. */
const REST_MS = 1_000;
/** Statistics interrupt a base: without growth of the process they are asked for this often only. */
const STATISTICS_MS = 250;
const GROWTH_BYTES = 2 * 2 ** 20;
/** What the process may grow without this base's doing: other threads, the allocator. */
const SLACK_BYTES = 32 * 2 ** 20;
/** In which one that stood still answers what it was asked before. */
const OWED_MS = 500;

/** What a base did. `silent`: its thread answers nothing, so that it will hardly end. */
export interface Breach {
  limit: 'memory' | 'cpu';
  /** Whose code ran, as well as that is known. */
  stream: number;
  /** Of several modules in the base, whose. */
  place: number;
  usedMb: number;
  silent: boolean;
}

export interface WatchOptions {
  wake: Int32Array;
  /** The live thread of that id. */
  worker(threadId: number): Worker | undefined;
  /** Called once per base. */
  over(base: string, breach: Breach): void;
  now(): number;
  /** CPU time of this process, ms. */
  cpu(): number;
  /** Resident bytes of this process; 0 when unknown. */
  rss(): number;
}

class Watched {
  readonly base: string;
  readonly gauge: Gauge;
  readonly memory = new MemoryJudge();
  readonly turn = new TurnJudge();
  /** The ping by which it was asked to collect: what that takes is not its own turn. */
  collectPing = -1;
  /** It stands still for no fault of its own. */
  paused = false;
  ended = false;

  constructor(base: string, gauge: Gauge) {
    this.base = base;
    this.gauge = gauge;
  }

  read(field: number): number {
    return this.gauge[field] ?? 0;
  }

  get limitBytes(): number {
    return this.read(MEMORY_MB) * 2 ** 20;
  }

  ping(): void {
    Atomics.add(this.gauge, PING, 1);
    Atomics.notify(this.gauge, PING);
  }
}

export class Watch {
  readonly #options: WatchOptions;
  readonly #bases = new Map<string, Watched>();
  #lastRunning = 0;
  #lookedAt = 0;
  #rssAtLook = 0;
  #timer: NodeJS.Timeout | null = null;
  /** Growth of the process is nobody's of the bases before that. */
  #quietSince = 0;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#sleep();
  }

  add(base: string, gauge: Gauge): void {
    this.#bases.set(base, new Watched(base, gauge));
  }

  delete(base: string): void {
    this.#bases.delete(base);
  }

  /**
   * A snapshot of its heap is taken: it will stand still, and is not judged for that. The process grows by what it comes to,
   * for which nobody is judged who just happens to be silent.
   */
  snapshot(base: string): void {
    const watched = this.#bases.get(base);
    if (watched !== undefined) watched.paused = true;
    this.#quietSince = Number.POSITIVE_INFINITY;
  }

  /** It goes on. What it owes answers to has time to come first. */
  resume(base: string): void {
    setTimeout(() => {
      const watched = this.#bases.get(base);
      if (watched === undefined) return;
      watched.paused = false;
      watched.turn.pinged(this.#options.now(), this.#options.cpu());
    }, OWED_MS);
  }

  /** The snapshot has been handed on: from now on the process grows by what bases do. */
  snapshotOver(): void {
    this.#quietSince = this.#options.now();
  }

  /** Of each leased base that was measured: what it takes beyond what it took when it was warm, MB. */
  heldMb(): Record<string, number> {
    const held: Record<string, number> = {};
    for (const { base, memory, limitBytes } of this.#bases.values()) {
      if (memory.known && limitBytes > 0) held[base] = memory.bytes / 2 ** 20;
    }
    return held;
  }

  #next(ms: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tick(), ms);
  }

  #tick(): void {
    const now = this.#options.now();
    const leased = [...this.#bases.values()].filter(
      (watched) => !watched.ended && !watched.paused && watched.limitBytes > 0,
    );
    if (leased.length > 0) this.#look(now, leased);
    if (this.#running()) this.#lastRunning = now;
    if (now - this.#lastRunning < REST_MS) this.#next(LOOK_MS);
    else this.#sleep();
  }

  #running(): boolean {
    for (const watched of this.#bases.values()) if (watched.read(RUNNING) > 0) return true;
    return false;
  }

  #sleep(): void {
    const { wake } = this.#options;
    Atomics.store(wake, ASLEEP, 1);
    const waiting = Atomics.waitAsync(wake, ASLEEP, 1);
    if (waiting.async) void waiting.value.then(() => this.#woken());
    // A base may have begun before it could see that this sleeps.
    if (this.#running()) Atomics.notify(wake, ASLEEP);
    this.#next(SLOW_LOOK_MS);
  }

  #woken(): void {
    Atomics.store(this.#options.wake, ASLEEP, 0);
    this.#lastRunning = this.#options.now();
    this.#next(LOOK_MS);
  }

  #look(now: number, leased: Watched[]): void {
    const rss = this.#options.rss();
    const askAll = rss - this.#rssAtLook > GROWTH_BYTES || now - this.#lookedAt >= STATISTICS_MS;
    if (askAll) {
      this.#lookedAt = now;
      this.#rssAtLook = rss;
    }
    for (const watched of leased) {
      if (askAll && !watched.memory.asking) this.#ask(watched, now, rss);
      if (watched.memory.silent(now, this.#quietSince)) this.#judgeSilent(watched, rss);
      if (watched.read(CPU_MS) > 0) this.#judgeTurn(watched, now);
    }
  }

  #ask(watched: Watched, now: number, rss: number): void {
    const worker = this.#options.worker(watched.read(THREAD));
    if (worker === undefined) return;
    watched.memory.asked(now, rss, this.#othersBytes(watched));
    // As of now: figures that were taken before it collected may come after it says that it has.
    const collected = watched.collectPing !== -1 && watched.read(PONG) >= watched.collectPing;
    worker.getHeapStatistics().then(
      (statistics) => {
        const own = watched.read(OWN_KIB) * 1024;
        const heap = statistics.used_heap_size + statistics.external_memory;
        const bytes = Math.max(0, heap - own) + watched.read(OFF_HEAP_KIB) * 1024;
        const verdict = watched.memory.answered(
          this.#options.now(),
          bytes,
          statistics.external_memory,
          watched.limitBytes,
          collected,
        );
        if (verdict === 'over') this.#over(watched, 'memory', bytes, false);
        if (verdict !== 'collect') return;
        Atomics.store(watched.gauge, COLLECT, 1);
        watched.ping();
        watched.collectPing = watched.read(PING);
      },
      // The thread has ended; the host hears of that by itself.
      () => undefined,
    );
  }

  #othersBytes(watched: Watched): number {
    let bytes = 0;
    for (const other of this.#bases.values()) if (other !== watched) bytes += other.memory.bytes;
    return bytes;
  }

  #judgeSilent(watched: Watched, rss: number): void {
    const bytes = watched.memory.bytes + watched.memory.grownSince(rss, this.#othersBytes(watched));
    if (bytes > watched.limitBytes + SLACK_BYTES) this.#over(watched, 'memory', bytes, true);
  }

  #judgeTurn(watched: Watched, now: number): void {
    const cpuMs = watched.read(CPU_MS);
    const pong = watched.read(PONG);
    const answered = pong === watched.read(PING);
    if (!answered && watched.read(PING) === watched.collectPing) return;
    const step = watched.turn.step(now, answered, cpuMs, this.#options.cpu());
    if (step === 'over') this.#over(watched, 'cpu', 0, true);
    if (step === 'ping') {
      watched.ping();
      watched.turn.pinged(now, this.#options.cpu());
    }
    if (step !== 'ask') return;
    const { turn } = watched.turn;
    const worker = this.#options.worker(watched.read(THREAD));
    worker?.cpuUsage().then(
      ({ user, system }) => {
        if (watched.turn.usage(turn, (user + system) / 1000, cpuMs)) this.#over(watched, 'cpu', 0, false);
      },
      () => undefined,
    );
  }

  #over(watched: Watched, limit: Breach['limit'], bytes: number, silent: boolean): void {
    if (watched.ended) return;
    watched.ended = true;
    this.#options.over(watched.base, {
      limit,
      stream: watched.read(STREAM),
      place: watched.read(PLACE),
      usedMb: Math.round(bytes / 2 ** 20),
      silent,
    });
  }
}
