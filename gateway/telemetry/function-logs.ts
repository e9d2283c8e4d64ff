/**
 * Recent log lines of each function, for `GET …/logs`: a ring per function, bounded in bytes. The oldest lines go when
 * it is full; what a base dropped before sending is counted beside them. All rings together are bounded too: those that
 * hold most give first, so that who writes much takes nothing from who writes little. None of it is on the disk.
 */

export interface FunctionLogLine {
  /** Epoch ms. */
  time: number;
  level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
  function: string;
  version: string;
  instance: string;
  invocationId: string | null;
  /** How the version was chosen for its invocation: ARM in names.ts. Null where that is not known. */
  arm: string | null;
  traceId: string | null;
  spanId: string | null;
  message: string;
}

export interface FunctionLogs {
  append(line: FunctionLogLine): void;
  /** The base had more than it could send. */
  countDropped(functionName: string, lines: number): void;
  /** Oldest first; the newest `most` of what is kept. */
  recent(functionName: string, most: number): FunctionLogLine[];
  /** Lines that can no longer be read: pushed out of the ring, or dropped by a base. */
  dropped(functionName: string): number;
  /** Called with each line from now on, until the returned function is called. */
  subscribe(functionName: string, listener: (line: FunctionLogLine) => void): () => void;
  /** The function was deleted: its lines go. Subscribers stay. */
  forget(functionName: string): void;
  /** Lines of before that moment (epoch ms) go. */
  expire(before: number): void;
}

/** What a line holds beside its message, roughly. */
const LINE_OVERHEAD_BYTES = 200;
const DEFAULT_MAX_BYTES = 2 * 1024 * 1024;
const DEFAULT_TOTAL_BYTES = 256 * 1024 * 1024;
/** What is left of all when they are over: so that it is seldom looked for who has most. */
const TRIM_TO = 0.9;

interface Ring {
  lines: FunctionLogLine[];
  /** Lines before this index are gone; they are cut off once they are half of the array. */
  first: number;
  bytes: number;
  dropped: number;
}

/**
 * `maxBytes`: for each function, by the length of messages as strings (one byte a character for Latin text); `totalBytes`:
 * for all together.
 */
export function createFunctionLogs(maxBytes = DEFAULT_MAX_BYTES, totalBytes = DEFAULT_TOTAL_BYTES): FunctionLogs {
  const rings = new Map<string, Ring>();
  const listeners = new Map<string, Set<(line: FunctionLogLine) => void>>();
  let total = 0;
  const ringOf = (name: string) =>
    rings.getOrInsertComputed(name, () => ({ lines: [], first: 0, bytes: 0, dropped: 0 }));

  function push(ring: Ring, line: FunctionLogLine): void {
    ring.lines.push(line);
    ring.bytes += sizeOf(line);
    total += sizeOf(line);
    trim(ring, () => ring.bytes > maxBytes);
    if (total > totalBytes) trimAll();
  }

  /** Oldest lines go as long as that holds. */
  function trim(ring: Ring, goes: (oldest: FunctionLogLine) => boolean): void {
    for (;;) {
      const oldest = ring.lines[ring.first];
      if (oldest === undefined || !goes(oldest)) break;
      ring.bytes -= sizeOf(oldest);
      total -= sizeOf(oldest);
      ring.first++;
      ring.dropped++;
    }
    if (ring.first * 2 > ring.lines.length) {
      ring.lines = ring.lines.slice(ring.first);
      ring.first = 0;
    }
  }

  /** Down to what each may have when all that have less keep it. */
  function trimAll(): void {
    const largest = [...rings.values()].sort((a, b) => b.bytes - a.bytes);
    let most = 0;
    let smaller = total;
    for (const [n, ring] of largest.entries()) {
      smaller -= ring.bytes;
      most = (totalBytes * TRIM_TO - smaller) / (n + 1);
      if (most >= (largest[n + 1]?.bytes ?? 0)) break;
    }
    for (const ring of largest) {
      if (ring.bytes <= most) break;
      trim(ring, () => ring.bytes > most);
    }
  }

  return {
    append(line) {
      push(ringOf(line.function), line);
      for (const listener of listeners.get(line.function) ?? []) listener(line);
    },
    countDropped(functionName, lines) {
      ringOf(functionName).dropped += lines;
    },
    recent(functionName, most) {
      const ring = rings.get(functionName);
      if (ring === undefined || most <= 0) return [];
      return ring.lines.slice(Math.max(ring.first, ring.lines.length - most));
    },
    dropped: (functionName) => rings.get(functionName)?.dropped ?? 0,
    subscribe(functionName, listener) {
      const set = listeners.getOrInsertComputed(functionName, () => new Set());
      // A function of its own, so that the same listener may be given twice.
      const own = (line: FunctionLogLine) => listener(line);
      set.add(own);
      return () => {
        set.delete(own);
        if (set.size === 0 && listeners.get(functionName) === set) listeners.delete(functionName);
      };
    },
    forget(functionName) {
      total -= rings.get(functionName)?.bytes ?? 0;
      rings.delete(functionName);
    },
    expire(before) {
      for (const ring of rings.values()) trim(ring, ({ time }) => time < before);
    },
  };
}

function sizeOf(line: FunctionLogLine): number {
  return line.message.length + LINE_OVERHEAD_BYTES;
}
