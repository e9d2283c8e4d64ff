/** How V8 collects the gateway's garbage. */
import v8 from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * From now on a full collection begins when the heap has doubled since the last one. V8's own choice for a process that
 * allocates as evenly as this one is a tenth more, and with that 20,000 calls a second met a collection every two seconds,
 * each of which kept all that came within 25 ms waiting: p99 13 to 20 ms, and 5 ms with this. It costs as much memory as is
 * alive, some 30 MB; so not before the start, which leaves much behind, has been collected.
 */
export function collectSeldom(): void {
  v8.setFlagsFromString('--heap-growing-percent=100');
}

type Collect = (
  options: { type: 'minor'; execution: 'sync' } | { type: 'major'; execution: 'sync'; flavor: 'last-resort' },
) => void;

/** V8 gives its collector to contexts that are made while the flag is set. No foreign code runs in this process. */
function collector(): Collect {
  v8.setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as Collect;
  v8.setFlagsFromString('--no-expose-gc');
  return collect;
}

/** Collects what lived shortly, which takes half a millisecond. */
export function youngCollector(): () => void {
  const collect = collector();
  return () => collect({ type: 'minor', execution: 'sync' });
}

/** Collects everything and gives its pages back. Takes some 50 ms, more with thousands of functions. */
export function wholeCollector(): () => void {
  const collect = collector();
  return () => collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}

/** V8's own, bytes: what it has taken of the machine. */
export function heapBytes(): number {
  return v8.getHeapStatistics().total_physical_size;
}
