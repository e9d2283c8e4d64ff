/**
 * Frames between the gateway and its builder: `u32 head length · u32 payload length · head as JSON · payload`. Bodies
 * go as they are, since turning a tree of megabytes into JSON would stall the gateway's loop.
 */
import type { Duplex } from 'node:stream';
import type { HearthErrorOptions } from '../contract/errors.ts';
import type { BuildInput, BuildResult } from './api.ts';

/** gateway → builder. The payload is the files' bytes in this order. */
export interface BuildRequest {
  id: number;
  manifest: BuildInput['manifest'];
  provided: BuildInput['provided'];
  files: { path: string; bytes: number }[];
}

/** builder → gateway. With `ok`, the payload is the code and then the source map. */
export type BuildAnswer =
  | {
      id: number;
      ok: true;
      result: Omit<BuildResult, 'code' | 'sourceMap'>;
      codeBytes: number;
      /** null: there is none. */
      mapBytes: number | null;
    }
  | { id: number; ok: false; code: string; message: string; errors: HearthErrorOptions['errors'] };

export type FrameSink = (head: unknown, payload: Buffer) => void;

const HEADER_BYTES = 8;

/** Takes chunks as they come and gives whole frames. */
export function createFrameReader(onFrame: FrameSink): (chunk: Buffer) => void {
  let chunks: Buffer[] = [];
  let held = 0;
  let needed = HEADER_BYTES;
  return (chunk) => {
    chunks.push(chunk);
    held += chunk.byteLength;
    while (held >= needed) {
      const all = chunks.length === 1 ? (chunks[0] ?? chunk) : Buffer.concat(chunks, held);
      chunks = [all];
      const headBytes = all.readUInt32BE(0);
      const frameBytes = HEADER_BYTES + headBytes + all.readUInt32BE(4);
      if (held < frameBytes) {
        needed = frameBytes;
        return;
      }
      const head: unknown = JSON.parse(all.toString('utf8', HEADER_BYTES, HEADER_BYTES + headBytes));
      const payload = all.subarray(HEADER_BYTES + headBytes, frameBytes);
      const rest = all.subarray(frameBytes);
      chunks = rest.byteLength === 0 ? [] : [rest];
      held = rest.byteLength;
      needed = HEADER_BYTES;
      onFrame(head, payload);
    }
  };
}

/** Resolves when the stream has taken the frame, or has been closed. One frame at a time. */
export async function writeFrame(
  stream: Duplex,
  head: BuildRequest | BuildAnswer,
  parts: readonly Uint8Array[],
): Promise<void> {
  const text = Buffer.from(JSON.stringify(head));
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(text.byteLength, 0);
  header.writeUInt32BE(
    parts.reduce((sum, part) => sum + part.byteLength, 0),
    4,
  );
  for (const part of [header, text, ...parts]) {
    if (stream.destroyed) return;
    if (part.byteLength > 0 && !stream.write(part)) await writable(stream);
  }
}

function writable(stream: Duplex): Promise<void> {
  if (stream.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      stream.off('drain', done);
      stream.off('close', done);
      resolve();
    };
    stream.on('drain', done);
    stream.on('close', done);
  });
}
