/**
 * The builder process. Started by client.ts with an empty environment and one socket, on descriptor 3; it ends, with
 * esbuild's own process, when that socket closes.
 */
import { writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { setPriority } from 'node:os';
import { HearthError } from '../contract/errors.ts';
import { parseManifestValue } from '../contract/manifest-file.ts';
import { bundle } from './bundle.ts';
import { type BuildAnswer, type BuildRequest, createFrameReader, writeFrame } from './frames.ts';

const SOCKET_DESCRIPTOR = 3;
const BUILDER_NICENESS = 5;
const BUILDER_OOM_SCORE = 800;
/** What esbuild's library rejects with, once and then for ever, when its process ran out of stack or memory. */
const ESBUILD_GONE = /The service (was stopped|is no longer running)/;

const socket = new Socket({ fd: SOCKET_DESCRIPTOR, readable: true, writable: true });
// One answer is written whole before the next.
let writing = Promise.resolve();

function answer(head: BuildAnswer, parts: readonly Uint8Array[] = []): void {
  writing = writing.then(() => writeFrame(socket, head, parts));
}

function readFiles({ files }: BuildRequest, payload: Buffer): Map<string, Uint8Array> {
  let at = 0;
  return new Map(
    files.map(({ path, bytes }) => {
      at += bytes;
      return [path, payload.subarray(at - bytes, at)];
    }),
  );
}

async function run(request: BuildRequest, payload: Buffer): Promise<void> {
  const { id, manifest, provided } = request;
  try {
    const { code, sourceMap, ...result } = await bundle({ manifest, provided, files: readFiles(request, payload) });
    const mapBytes = sourceMap?.byteLength ?? null;
    const parts = sourceMap === null ? [code] : [code, sourceMap];
    answer({ id, ok: true, result, codeBytes: code.byteLength, mapBytes }, parts);
  } catch (error) {
    if (error instanceof HearthError)
      answer({ id, ok: false, code: error.code, message: error.message, errors: error.errors });
    // esbuild's process has ended, and with it every build of this one: the client starts both anew.
    else if (ESBUILD_GONE.test(describe(error))) end();
    else answer({ id, ok: false, code: 'INTERNAL', message: describe(error), errors: undefined });
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function end(): void {
  // The process group is ours (client.ts starts us detached): this takes esbuild along, even in the middle of a build.
  process.kill(-process.pid, 'SIGKILL');
}

/** Starts esbuild and has both processes compile their paths, which the first deploy would else wait for. */
async function warmUp(): Promise<void> {
  const main = Buffer.from('import { a } from "./a.ts";\nexport default { fetch: (): Response => new Response(a) };');
  const files = new Map([
    ['index.ts', main],
    ['a.ts', Buffer.from('export const a = __dirname;')],
  ]);
  for (let i = 0; i < 3; i += 1) await bundle({ manifest: parseManifestValue({}), provided: [], files });
}

/** Builds give way to requests, and go first when memory runs out: esbuild takes a gigabyte before it gives up on some sources. */
function stepBack(): void {
  setPriority(BUILDER_NICENESS);
  try {
    writeFileSync('/proc/self/oom_score_adj', String(BUILDER_OOM_SCORE));
  } catch (error) {
    // Not on Linux, or not allowed here: the builder works all the same.
    if (!['ENOENT', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

stepBack();
await warmUp();
socket.on(
  'data',
  createFrameReader((head, payload) => {
    // What it rejects with is in its answer.
    void run(head as BuildRequest, payload);
  }),
);
socket.on('close', end);
socket.on('error', end);
