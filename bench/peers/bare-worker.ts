/**
 * What a thread costs without any platform, as its own process: on each line of input it starts one worker that builds a
 * Response, and prints how many ms passed until the worker said so.
 */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Worker } from 'node:worker_threads';

const CODE = `new Response('hello').headers.has('a'); require('node:worker_threads').parentPort.postMessage('built');`;

for await (const _line of createInterface({ input: process.stdin })) {
  const begun = performance.now();
  const worker = new Worker(CODE, { eval: true });
  await once(worker, 'message');
  console.log(performance.now() - begun);
  await worker.terminate();
}
