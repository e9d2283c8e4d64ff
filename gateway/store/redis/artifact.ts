/**
 * An artifact, and a code cache, as bytes: a head as JSON, preceded by its length, and behind it all bytes one after
 * another.
 *
 *   u32 length of the head · head · code · source map · files in their order
 */
import type { Artifact } from '../api/registry.ts';

interface Head {
  code: number;
  /** null: there is none. */
  sourceMap: number | null;
  files: [path: string, bytes: number][];
}

const LENGTH_BYTES = 4;

/** Files in the order of their paths, as every store answers them. */
export function packArtifact({ code, sourceMap, ...artifact }: Artifact): Uint8Array {
  const files = artifact.files.toSorted((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
  const head: Head = {
    code: code.byteLength,
    sourceMap: sourceMap?.byteLength ?? null,
    files: files.map(({ path, bytes }) => [path, bytes.byteLength]),
  };
  return pack(head, [code, ...(sourceMap === null ? [] : [sourceMap]), ...files.map(({ bytes }) => bytes)]);
}

/** The arrays stand alone each. */
export function unpackArtifact(packed: Uint8Array): Omit<Artifact, 'codeCache'> {
  const { head, take } = unpack<Head>(packed);
  return {
    code: take(head.code),
    sourceMap: head.sourceMap === null ? null : take(head.sourceMap),
    files: head.files.map(([path, bytes]) => ({ path, bytes: take(bytes) })),
  };
}

export function packCache({ key, bytes }: { key: string; bytes: Uint8Array }): Uint8Array {
  return pack({ key, bytes: bytes.byteLength }, [bytes]);
}

export function unpackCache(packed: Uint8Array): { key: string; bytes: Uint8Array } {
  const { head, take } = unpack<{ key: string; bytes: number }>(packed);
  return { key: head.key, bytes: take(head.bytes) };
}

function pack(head: unknown, bodies: Uint8Array[]): Uint8Array {
  const json = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(json.byteLength);
  return Buffer.concat([length, json, ...bodies]);
}

function unpack<Head>(packed: Uint8Array): { head: Head; take(bytes: number): Uint8Array } {
  const buffer = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
  let at = LENGTH_BYTES + buffer.readUInt32BE(0);
  const head = JSON.parse(buffer.toString('utf8', LENGTH_BYTES, at)) as Head;
  return {
    head,
    take(bytes) {
      at += bytes;
      return new Uint8Array(packed.subarray(at - bytes, at));
    },
  };
}
