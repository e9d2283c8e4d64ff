/**
 * `node:fs` for modules. The permission model guards paths; descriptors it does not know: they belong to the process,
 * so a number could name another base's socket. Here a module may use only the numbers that its own `open` gave it,
 * and 1 and 2, which are lines of its log.
 */

import fs from 'node:fs';
import process from 'node:process';
import { NotAllowedError, pick } from './denied.ts';

/** Take a path, or a FileHandle. */
const BY_PATH = [
  ...['access', 'accessSync', 'constants', 'cp', 'cpSync', 'Dir', 'Dirent', 'exists', 'existsSync', 'FileReadStream'],
  ...['FileWriteStream', 'glob', 'globSync', 'lstat', 'lstatSync', 'mkdir', 'mkdirSync', 'mkdtemp', 'mkdtempSync'],
  ...['opendir', 'opendirSync', 'openAsBlob', 'promises', 'readdir', 'readdirSync', 'readlink', 'readlinkSync'],
  ...['realpath', 'realpathSync', 'rename', 'renameSync', 'rm', 'rmSync', 'rmdir', 'rmdirSync', 'stat', 'statSync'],
  ...['statfs', 'statfsSync', 'Stats', 'truncate', 'truncateSync', 'unlink', 'unlinkSync', 'unwatchFile', 'watch'],
  ...['watchFile', 'F_OK', 'R_OK', 'W_OK', 'X_OK', 'chmod', 'chmodSync', 'copyFile', 'copyFileSync', 'utimes'],
  ...['utimesSync', 'link', 'linkSync', 'symlink', 'symlinkSync', 'chown', 'chownSync'],
];
/** Take a number first. */
const BY_DESCRIPTOR = [
  ...['close', 'closeSync', 'fstat', 'fstatSync', 'read', 'readSync', 'readv', 'readvSync', 'write', 'writeSync'],
  ...['writev', 'writevSync', 'fsync', 'fsyncSync', 'fdatasync', 'fdatasyncSync', 'ftruncate', 'ftruncateSync'],
  ...['fchmod', 'fchmodSync', 'fchown', 'fchownSync', 'futimes', 'futimesSync'],
];
/** Take either. */
const BY_EITHER = ['readFile', 'readFileSync', 'writeFile', 'writeFileSync', 'appendFile', 'appendFileSync'];

type AnyFunction = (...args: unknown[]) => unknown;

/** `print`: what is written to descriptors 1 and 2. */
export function guardedFs(print: (fd: 1 | 2, text: string) => void): Record<string, unknown> {
  const real = fs as unknown as Record<string, AnyFunction>;
  const own = new Set<number>();
  const guarded: Record<string, unknown> = pick(fs, BY_PATH);

  const check = (what: string, fd: unknown): void => {
    if (typeof fd === 'number' && own.has(fd)) return;
    throw new NotAllowedError(`fs.${what} of descriptor ${String(fd)}`, 'Use a path, or a descriptor from fs.open.');
  };
  for (const name of BY_DESCRIPTOR) {
    guarded[name] = (fd: unknown, ...rest: unknown[]) => {
      if (fd === 1 || fd === 2) {
        const handled = standardOutput(name, fd, rest, print);
        if (handled !== null) return handled.result;
      }
      check(name, fd);
      if (name === 'close' || name === 'closeSync') own.delete(fd as number);
      return real[name]?.(fd, ...rest);
    };
  }
  for (const name of BY_EITHER) {
    guarded[name] = (file: unknown, ...rest: unknown[]) => {
      if (typeof file === 'number') check(name, file);
      return real[name]?.(file, ...rest);
    };
  }
  guarded.existsSync = (path: unknown) => {
    try {
      return real.existsSync?.(path);
    } catch {
      return false; // what may not be seen is not there: code that looks around first should not break on it
    }
  };
  guarded.openSync = (...args: unknown[]) => {
    const fd = real.openSync?.(...args) as number;
    own.add(fd);
    return fd;
  };
  guarded.open = (...args: unknown[]) => {
    const callback = args.pop();
    if (typeof callback !== 'function') throw new TypeError('fs.open: the callback is missing.');
    real.open?.(...args, (error: unknown, fd: number) => {
      if (error === null) own.add(fd);
      callback(error, fd);
    });
  };
  for (const name of ['createReadStream', 'createWriteStream']) {
    guarded[name] = (path: unknown, options?: unknown, ...rest: unknown[]) =>
      real[name]?.(path, withoutDescriptor(name, options), ...rest);
  }
  for (const [name, Base] of [
    ['ReadStream', fs.ReadStream],
    ['WriteStream', fs.WriteStream],
  ] as const) {
    guarded[name] = streamClass(name, Base as unknown as new (...args: unknown[]) => object);
  }
  guarded.FileReadStream = guarded.ReadStream;
  guarded.FileWriteStream = guarded.WriteStream;
  return guarded;
}

/** Loggers such as pino write to the number itself. Null: not an operation that output knows. */
function standardOutput(
  name: string,
  fd: 1 | 2,
  args: unknown[],
  print: (fd: 1 | 2, text: string) => void,
): { result: unknown } | null {
  if (name === 'fsyncSync' || name === 'fdatasyncSync') return { result: undefined };
  if (name !== 'write' && name !== 'writeSync') return null;
  const data = args[0];
  let text: string;
  let bytes: number;
  if (typeof data === 'string') {
    text = data;
    bytes = Buffer.byteLength(data);
  } else if (data instanceof Uint8Array) {
    const offset = typeof args[1] === 'number' ? args[1] : 0;
    const length = typeof args[2] === 'number' ? args[2] : data.length - offset;
    text = Buffer.from(data.buffer, data.byteOffset + offset, length).toString('utf8');
    bytes = length;
  } else {
    return null;
  }
  print(fd, text.endsWith('\n') ? text.slice(0, -1) : text);
  if (name === 'writeSync') return { result: bytes };
  const callback = args.at(-1);
  if (typeof callback === 'function') process.nextTick(callback, null, bytes, data);
  return { result: undefined };
}

function withoutDescriptor(what: string, options: unknown): unknown {
  if (typeof options !== 'object' || options === null) return options;
  // Read once and passed on as a copy: a getter could answer differently the second time.
  const copy = { ...(options as Record<string, unknown>) };
  if (typeof copy.fd === 'number') throw new NotAllowedError(`fs.${what} of a descriptor`, 'Give a path.');
  if (copy.fs !== undefined) throw new NotAllowedError(`fs.${what} with an fs of its own`);
  return copy;
}

function streamClass(name: string, Base: new (...args: unknown[]) => object): unknown {
  return class extends Base {
    constructor(path: unknown, options?: unknown) {
      super(path, withoutDescriptor(name, options));
    }
  };
}
