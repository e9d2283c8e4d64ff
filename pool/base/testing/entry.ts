/** What a test's worker thread runs: a base, given its task as worker data. */
import { parentPort, workerData } from 'node:worker_threads';
import run from '../main.ts';

run(workerData).catch((error: unknown) => parentPort?.postMessage(String(error)));
