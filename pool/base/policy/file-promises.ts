/**
 * `fs.promises` for modules. Node's FileHandle can be pointed at any descriptor of the process by whoever holds one, so
 * none exists here, not inside of `readFile` either: everything that opens a file goes through the guarded callbacks.
 */
import fs from 'node:fs';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { pick } from './denied.ts';
import type { ReadStreamClass } from './file-streams.ts';

/** Take a path, and make no FileHandle. */
const BY_PATH = [
  ...['access', 'chmod', 'chown', 'constants', 'copyFile', 'cp', 'glob', 'lchown', 'link', 'lstat', 'lutimes', 'mkdir'],
  ...['mkdtemp', 'opendir', 'readdir', 'readlink', 'realpath', 'rename', 'rm', 'rmdir', 'stat', 'statfs', 'symlink'],
  ...['unlink', 'utimes', 'watch'],
];

type Callback = (error: Error | null, result?: unknown) => void;
type WithCallback = (...args: [...unknown[], Callback]) => void;

/** `guarded`: the callback functions, with their descriptors checked. */
export function guardedPromises(
  guarded: Record<string, unknown>,
  ReadStream: ReadStreamClass,
): Record<string, unknown> {
  const of = (name: string) => promisify(guarded[name] as WithCallback) as (...args: unknown[]) => Promise<unknown>;
  const [open, close, stat, readFile] = [of('open'), of('close'), of('fstat'), of('readFile')];
  const read = guarded.read as WithCallback;

  class FileHandle {
    readonly fd: number;
    readonly #path: unknown;
    constructor(fd: number, path: unknown) {
      this.fd = fd;
      this.#path = path;
    }
    read(buffer: Uint8Array, offset = 0, length = buffer.byteLength - offset, position: number | null = null) {
      return new Promise((resolve, reject) => {
        read(this.fd, buffer, offset, length, position, (error, bytesRead) => {
          if (error === null) resolve({ bytesRead, buffer });
          else reject(error);
        });
      });
    }
    readFile(options?: unknown): Promise<unknown> {
      return readFile(this.fd, options);
    }
    stat(options?: unknown): Promise<unknown> {
      return stat(this.fd, options);
    }
    createReadStream(options?: unknown): Readable {
      return new ReadStream(this.#path, options);
    }
    async close(): Promise<void> {
      await close(this.fd);
    }
    async [Symbol.asyncDispose](): Promise<void> {
      await this.close();
    }
  }

  return {
    ...pick(fs.promises, BY_PATH),
    open: async (path: unknown, ...rest: unknown[]) => new FileHandle((await open(path, ...rest)) as number, path),
    readFile,
    writeFile: of('writeFile'),
    appendFile: of('appendFile'),
    truncate: promisify(fs.truncate),
  };
}
