/** Functions that do harm, each in its own way, and what its caller may be told. */

export interface Bomb {
  name: string;
  source: string;
  settings?: Record<string, unknown>;
  /** Codes of the problem that the caller may get. */
  codes: string[];
}

export const BOMBS: Bomb[] = [
  {
    name: 'endless-loop',
    source: 'export default { fetch() { for (;;); } };',
    settings: { timeoutMs: 1000 },
    codes: ['FUNCTION_TIMEOUT'],
  },
  {
    name: 'memory-bomb',
    source: `export default {
      async fetch() {
        const kept = [];
        for (;;) {
          kept.push(Buffer.alloc(8 * 1024 * 1024, 1));
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      },
    };`,
    settings: { memoryMb: 64, timeoutMs: 10_000 },
    codes: ['FUNCTION_CRASHED'],
  },
  {
    name: 'array-bomb',
    source: `export default {
      fetch() {
        const kept = [];
        for (;;) kept.push({ x: new Array(100).fill(1) });
      },
    };`,
    settings: { memoryMb: 64, timeoutMs: 5000 },
    codes: ['FUNCTION_CRASHED', 'FUNCTION_TIMEOUT'],
  },
  {
    name: 'throws',
    source: "export default { fetch() { throw new Error('as it does each time'); } };",
    codes: ['FUNCTION_EXCEPTION'],
  },
  {
    name: 'exits',
    source: 'export default { fetch() { process.exit(1); } };',
    codes: ['FUNCTION_CRASHED'],
  },
  {
    name: 'uncaught',
    source: `export default {
      fetch() {
        setImmediate(() => { throw new Error('nobody catches this'); });
        return new Promise(() => {});
      },
    };`,
    // Its base is retired: it takes nothing new, and what is in flight has its time to end.
    settings: { timeoutMs: 1000 },
    codes: ['FUNCTION_CRASHED', 'FUNCTION_TIMEOUT'],
  },
];
