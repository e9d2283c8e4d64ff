/**
 * What a base and its host tell each other without a message: one shared array per base, and one per host by which a
 * base wakes the host's watch. Functions never see either. Plain writes: a figure that is a moment old does no harm.
 */

export type Gauge = Int32Array;

/** Written by the base: its thread's id, by which the host finds the Worker that Piscina gave it. */
export const THREAD = 0;
/** Written by the base when it is warm: heap and external memory that are its own, KiB. */
export const OWN_KIB = 1;
/** Written by the base at lease: `memoryMb` of what it holds; 0: not leased. */
export const MEMORY_MB = 2;
/** Written by the base at lease: `limits.cpu_ms`; 0: none. */
export const CPU_MS = 3;
/** Written by the base: invocations and loads under way. */
export const RUNNING = 4;
/** Written by the base: the stream that was started or fed last. */
export const STREAM = 5;
/** Written by the base: WASM and SharedArrayBuffer, which no statistics of V8 hold, KiB. */
export const OFF_HEAP_KIB = 6;
/** Raised by the host, and answered by the base with the same number as soon as its loop turns. */
export const PING = 7;
export const PONG = 8;
/** Set by the host: the base collects its garbage before it answers. */
export const COLLECT = 9;
/** Written by the base: number of the module whose code was started or fed last; 0 where there is one alone. */
export const PLACE = 10;

const FIELDS = 16;

/** Of the host's own array: 1 while its watch sleeps. */
export const ASLEEP = 0;

export interface Gauges {
  gauge: Gauge;
  /** Shared by all bases of a host. */
  wake: Int32Array;
}

export function makeGauge(): Gauge {
  return new Int32Array(new SharedArrayBuffer(FIELDS * Int32Array.BYTES_PER_ELEMENT));
}
