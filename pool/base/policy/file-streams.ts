/**
 * File streams for modules. Node's own keep the descriptor in a property that anybody may set, and their classes take
 * any number: these hold it privately and read through the guarded `fs`.
 */
import { Readable, Writable } from 'node:stream';
import { NotAllowedError } from './denied.ts';

interface FileReads {
  open(path: unknown, flags: string, callback: (error: Error | null, fd: number) => void): void;
  read(
    fd: number,
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number | null,
    callback: (error: Error | null, bytes: number) => void,
  ): void;
  close(fd: number, callback: (error: Error | null) => void): void;
}

interface ReadOptions {
  encoding?: BufferEncoding;
  highWaterMark?: number;
  /** Bytes, both included. */
  start?: number;
  end?: number;
  flags?: string;
  fd?: unknown;
  fs?: unknown;
  signal?: AbortSignal;
}

const CHUNK_BYTES = 64 * 1024;

export type ReadStreamClass = new (path: unknown, options?: unknown) => Readable;

export function guardedReadStream(files: FileReads): ReadStreamClass {
  return class ReadStream extends Readable {
    readonly path: unknown;
    readonly flags: string;
    bytesRead = 0;
    #fd: number | null = null;
    #at: number;
    #left: number;

    constructor(path: unknown, given?: unknown) {
      const options = optionsOf(given);
      super({
        highWaterMark: options.highWaterMark ?? CHUNK_BYTES,
        ...(options.encoding === undefined ? {} : { encoding: options.encoding }),
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
      this.path = path;
      this.flags = options.flags ?? 'r';
      this.#at = options.start ?? 0;
      this.#left = (options.end ?? Number.POSITIVE_INFINITY) - this.#at + 1;
      if (!(this.#at >= 0) || !(this.#left >= 0))
        throw new RangeError('fs.createReadStream: "start" and "end" are wrong.');
    }

    get pending(): boolean {
      return this.#fd === null;
    }

    override _construct(callback: (error?: Error | null) => void): void {
      files.open(this.path, this.flags, (error, fd) => {
        if (error !== null) {
          callback(error);
          return;
        }
        this.#fd = fd;
        callback();
        this.emit('open', fd);
        this.emit('ready');
      });
    }

    override _read(wanted: number): void {
      const fd = this.#fd as number;
      const buffer = Buffer.allocUnsafeSlow(Math.min(wanted, this.#left));
      files.read(fd, buffer, 0, buffer.length, this.#at, (error, bytes) => {
        if (error !== null) {
          this.destroy(error);
          return;
        }
        this.#at += bytes;
        this.#left -= bytes;
        this.bytesRead += bytes;
        this.push(bytes === 0 ? null : buffer.subarray(0, bytes));
      });
    }

    override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
      const fd = this.#fd;
      this.#fd = null;
      if (fd === null) callback(error);
      else files.close(fd, (failed) => callback(error ?? failed));
    }

    close(callback?: (error?: Error | null) => void): void {
      if (callback !== undefined) this.once('close', () => callback());
      this.destroy();
    }
  };
}

/** There is nothing a module may write to. */
export class RefusedWriteStream extends Writable {
  readonly path: unknown;
  constructor(path: unknown, given?: unknown) {
    optionsOf(given);
    super();
    this.path = path;
    this.destroy(new NotAllowedError('Writing a file'));
  }
}

function optionsOf(given: unknown): ReadOptions {
  if (typeof given === 'string') return { encoding: given as BufferEncoding };
  const options: ReadOptions = { ...(given as ReadOptions | null | undefined) };
  if (options.fd !== undefined && options.fd !== null) {
    throw new NotAllowedError('A file stream of a descriptor', 'Give a path.');
  }
  if (options.fs !== undefined) throw new NotAllowedError('A file stream with an fs of its own');
  return options;
}
