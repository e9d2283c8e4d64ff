import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { endServer } from './process.ts';

export interface BareWorkers extends AsyncDisposable {
  /** Ms from the start of a worker thread until it has built one Response. */
  start(): Promise<number>;
}

export function startBareWorkers(): BareWorkers {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'bare-worker.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async start() {
      child.stdin.write('\n');
      const { value, done } = await lines.next();
      if (done === true) throw new Error('the process of bare workers has ended');
      return Number(value);
    },
    [Symbol.asyncDispose]: () => endServer(child),
  };
}
