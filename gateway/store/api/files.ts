/**
 * Files of buckets. The content of one is an upload: parts of FILE_PART_BYTES, the last one shorter, written one after
 * another and then named by the file. What no file names any more is kept for a while, for those who are reading it.
 */

export const FILE_PART_BYTES = 256 * 1024;
/** How long an upload that no file names is kept after its last part came, or after its file went. */
export const UNNAMED_FILE_MS = 10 * 60_000;

export interface FileHead {
  key: string;
  /** Names the content; another one with each put. */
  upload: string;
  size: number;
  /** Of the content, in hexadecimal. */
  etag: string;
  uploadedAt: number;
  /** What its writer says of it, as JSON. */
  meta: unknown;
}

export interface FileStore {
  /** Parts count from 0. */
  writePart(upload: string, number: number, bytes: Uint8Array, nowMs: number): Promise<void>;
  /**
   * Names an upload whose parts are all written, in place of what the key had. `before`: the upload that has to be there
   * now, null: none may be; undefined: whichever is. False when it is another. Throws NO_CAPACITY when the parts are gone.
   */
  put(bucket: string, head: FileHead, before: string | null | undefined, nowMs: number): Promise<boolean>;
  head(bucket: string, key: string): Promise<FileHead | null>;
  /** Null when it is gone. */
  readPart(upload: string, number: number): Promise<Uint8Array | null>;
  delete(bucket: string, keys: string[], nowMs: number): Promise<void>;
  /** Nobody will name it. Does nothing where a file does, or it is not there. */
  drop(upload: string, nowMs: number): Promise<void>;
  /** In the order of the keys' UTF-8 bytes, behind `after`, which need be no whole key. */
  list(bucket: string, options: { prefix: string; after: Uint8Array | null; limit: number }): Promise<FileHead[]>;
  /** Removes what nothing names, at most so many parts or uploads; returns how many. */
  sweep(nowMs: number, most: number): Promise<number>;
}
