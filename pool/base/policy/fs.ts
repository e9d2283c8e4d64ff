/**
 * `node:fs` for modules. The permission model guards paths; descriptors it does not know: they belong to the process,
 * so a number could name another base's socket. Here a module may use only the numbers that its own `open` gave it,
 * and 1 and 2, which are lines of its log.
 */

import fs from 'node:fs';
import process from 'node:process';
import { NotAllowedError, pick } from './denied.ts';
import { guardedPromises } from './file-promises.ts';
import { guardedReadStream, RefusedWriteStream } from './file-streams.ts';
import { apply, pop } from './intrinsics.ts';

/** Take a path, or a FileHandle. */
const BY_PATH = [
  ...['access', 'accessSync', 'constants', 'cp', 'cpSync', 'Dir', 'Dirent', 'exists', 'existsSync'],
  ...['glob', 'globSync', 'lstat', 'lstatSync', 'mkdir', 'mkdirSync', 'mkdtemp', 'mkdtempSync'],
  ...['opendir', 'opendirSync', 'openAsBlob', 'readdir', 'readdirSync', 'readlink', 'readlinkSync'],
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
  const real = { ...fs } as unknown as Record<string, AnyFunction>;
  // Not a Set: its methods could have been replaced when they are asked.
  const own = Object.create(null) as Record<number, boolean>;
  const guarded: Record<string, unknown> = pick(fs, BY_PATH);

  const check = (what: string, fd: unknown): void => {
    if (typeof fd === 'number' && own[fd] === true) return;
    throw new NotAllowedError(`fs.${what} of descriptor ${String(fd)}`, 'Use a path, or a descriptor from fs.open.');
  };
  const call = (name: string, args: unknown[]): unknown => apply(real[name] as AnyFunction, undefined, args);

  for (const name of BY_DESCRIPTOR) {
    guarded[name] = (...args: unknown[]) => {
      const fd = args[0];
      if (fd === 1 || fd === 2) {
        const handled = standardOutput(name, fd, args, print);
        if (handled !== null) return handled.result;
      }
      check(name, fd);
      if (name === 'close' || name === 'closeSync') delete own[fd as number];
      return call(name, args);
    };
  }
  for (const name of BY_EITHER) {
    guarded[name] = (...args: unknown[]) => {
      if (typeof args[0] === 'number') check(name, args[0]);
      return call(name, args);
    };
  }
  guarded.existsSync = (path: unknown) => {
    try {
      return call('existsSync', [path]);
    } catch {
      return false; // what may not be seen is not there: code that looks around first should not break on it
    }
  };
  // Node's own walk up the path asks nobody: it tells which files there are, and where links lead.
  const { realpath, realpathSync } = fs;
  guarded.realpath = Object.assign(realpath.native, { native: realpath.native });
  guarded.realpathSync = Object.assign(realpathSync.native, { native: realpathSync.native });
  guarded.openSync = (...args: unknown[]) => {
    const fd = call('openSync', args) as number;
    own[fd] = true;
    return fd;
  };
  guarded.open = (...args: unknown[]) => {
    const callback = pop(args);
    if (typeof callback !== 'function') throw new TypeError('fs.open: the callback is missing.');
    args[args.length] = (error: unknown, fd: number) => {
      if (error === null) own[fd] = true;
      callback(error, fd);
    };
    call('open', args);
  };

  const ReadStream = guardedReadStream({ open: guarded.open, read: guarded.read, close: guarded.close } as never);
  guarded.ReadStream = ReadStream;
  guarded.FileReadStream = ReadStream;
  guarded.WriteStream = RefusedWriteStream;
  guarded.FileWriteStream = RefusedWriteStream;
  guarded.createReadStream = (path: unknown, options?: unknown) => new ReadStream(path, options);
  guarded.createWriteStream = (path: unknown, options?: unknown) => new RefusedWriteStream(path, options);
  guarded.promises = guardedPromises(guarded, ReadStream);
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
  const data = args[1];
  let text: string;
  let bytes: number;
  if (typeof data === 'string') {
    text = data;
    bytes = Buffer.byteLength(data);
  } else if (data instanceof Uint8Array) {
    const offset = typeof args[2] === 'number' ? args[2] : 0;
    const length = typeof args[3] === 'number' ? args[3] : data.length - offset;
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
