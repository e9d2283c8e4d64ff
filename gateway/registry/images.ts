/** What bases run, read from the store when it is asked for and kept in memory up to so many bytes, least recently used first out. */
import { HearthError } from '../../functions/contract/errors.ts';
import type { ModuleImage } from '../../pool/keeper/api.ts';
import type { Artifact, VersionRecord } from '../store/api/registry.ts';

export interface ImageCache {
  /** At once where it is in memory. Rejects with NOT_FOUND when the version is gone, NO_CAPACITY when the store is away. */
  get(record: VersionRecord): ModuleImage | Promise<ModuleImage>;
  put(record: VersionRecord, image: ModuleImage): void;
  delete(functionName: string, version: string): void;
  readonly bytes: number;
}

export function createImageCache(options: {
  read(functionName: string, version: string): Promise<Artifact | null>;
  /** Key under which a code cache for this code is valid here and now. */
  cacheKeyOf(code: Uint8Array): string;
  mostBytes: number;
}): ImageCache {
  const { read, cacheKeyOf, mostBytes } = options;
  const images = new Map<string, { image: ModuleImage; bytes: number }>();
  const reading = new Map<string, Promise<ModuleImage>>();
  let bytes = 0;

  function drop(key: string): void {
    bytes -= images.get(key)?.bytes ?? 0;
    images.delete(key);
  }

  function put(key: string, image: ModuleImage): void {
    drop(key);
    const size = sizeOf(image);
    images.set(key, { image, bytes: size });
    bytes += size;
    for (const oldest of images.keys()) {
      if (bytes <= mostBytes || oldest === key) break;
      drop(oldest);
    }
  }

  async function load(key: string, record: VersionRecord): Promise<ModuleImage> {
    const artifact = await read(record.functionName, record.version);
    if (artifact === null) {
      throw new HearthError('NOT_FOUND', `Version ${record.version} of ${record.functionName} was deleted.`);
    }
    const image = toImage(record, artifact, cacheKeyOf);
    // Deleted while it was read, or given anew meanwhile: then this one is not kept.
    if (reading.has(key) && !images.has(key)) put(key, image);
    return image;
  }

  return {
    get(record) {
      const key = keyOf(record.functionName, record.version);
      const found = images.get(key);
      if (found !== undefined) {
        images.delete(key);
        images.set(key, found);
        return found.image;
      }
      let pending = reading.get(key);
      if (pending === undefined) {
        pending = load(key, record).finally(() => {
          if (reading.get(key) === pending) reading.delete(key);
        });
        reading.set(key, pending);
      }
      return pending;
    },
    put: (record, image) => put(keyOf(record.functionName, record.version), image),
    delete(functionName, version) {
      const key = keyOf(functionName, version);
      drop(key);
      reading.delete(key);
    },
    get bytes() {
      return bytes;
    },
  };
}

/** A cache of other code, of another Node or of other flags is left out: V8 would run it without looking. */
export function toImage(
  record: VersionRecord,
  artifact: Artifact,
  cacheKeyOf: (code: Uint8Array) => string,
): ModuleImage {
  const cache = artifact.codeCache;
  return {
    format: record.format,
    code: artifact.code,
    codeCache: cache !== null && cache.key === cacheKeyOf(artifact.code) ? cache.bytes : null,
    files: artifact.files,
  };
}

function keyOf(functionName: string, version: string): string {
  return `${functionName}@${version}`;
}

function sizeOf(image: ModuleImage): number {
  let bytes = image.code.byteLength + (image.codeCache?.byteLength ?? 0);
  for (const file of image.files) bytes += file.bytes.byteLength;
  return bytes;
}
