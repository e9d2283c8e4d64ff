/**
 * Reads gzipped tar archives as `tar czf` and `npm pack` make them: regular files, with long names in either way (pax,
 * GNU). Links and devices are refused by name.
 */
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { HearthError } from '../../functions/contract/errors.ts';
import { type ArchiveFile, type ArchiveLimits, linked, tooLarge } from './zip.ts';

const BLOCK = 512;
/** What an entry takes beside its bytes at most: header, padding, and a long name in two blocks more. */
const ENTRY_BYTES = 5 * BLOCK;
const MAX_NAME_BYTES = 64 * 1024;

const unzip = promisify(gunzip);
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Throws BAD_REQUEST for what is damaged or not of this kind, PAYLOAD_TOO_LARGE over the limits. */
export async function readTgz(archive: Buffer, limits: ArchiveLimits): Promise<ArchiveFile[]> {
  let tar: Buffer;
  try {
    tar = await unzip(archive, { maxOutputLength: limits.mostBytes + limits.mostFiles * ENTRY_BYTES });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(limits);
    throw new HearthError('BAD_REQUEST', 'The gzip archive is damaged.', { cause: error });
  }
  return readTar(tar, limits);
}

export function readTar(tar: Buffer, limits: ArchiveLimits): ArchiveFile[] {
  const files: ArchiveFile[] = [];
  let total = 0;
  /** From an entry before, for the one that follows it. */
  let longName: string | null = null;
  let longSize: number | null = null;

  for (let at = 0; at + BLOCK <= tar.length; ) {
    const header = tar.subarray(at, at + BLOCK);
    // Two empty blocks end an archive; what follows them is padding.
    if (header.every((byte) => byte === 0)) return files;
    requireSum(header);
    const kind = String.fromCharCode(header[156] ?? 0);
    const special = kind === 'x' || kind === 'g' || kind === 'L' || kind === 'K';
    const size = special ? octal(header, 124, 12) : (longSize ?? octal(header, 124, 12));
    const start = at + BLOCK;
    if (start + size > tar.length) throw damaged('is cut short');
    const bytes = tar.subarray(start, start + size);
    at = start + Math.ceil(size / BLOCK) * BLOCK;

    if (special) {
      if (size > MAX_NAME_BYTES) throw damaged(`has a file name of ${size} bytes`);
      if (kind === 'L') longName = text(bytes, 0, size);
      if (kind !== 'x') continue;
      const pax = paxOf(bytes);
      longName = pax.get('path') ?? longName;
      const given = pax.get('size');
      longSize = given === undefined ? longSize : decimal(given);
      continue;
    }
    const path = longName ?? headerName(header);
    longName = null;
    longSize = null;
    if (kind === '5') continue;
    if (kind === '1' || kind === '2') throw linked(path);
    if (kind !== '0' && kind !== '\0' && kind !== '7') throw damaged(`holds ${JSON.stringify(path)}, which is no file`);
    total += size;
    files.push({ path, bytes: Buffer.from(bytes) });
    if (total > limits.mostBytes || files.length > limits.mostFiles) throw tooLarge(limits);
  }
  return files;
}

/** `NN key=value\n`, NN the length of all of it. */
function paxOf(bytes: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const length = space === -1 ? 0 : decimal(bytes.toString('latin1', at, space));
    const equals = bytes.indexOf(0x3d, space);
    if (length <= space - at || at + length > bytes.length || equals === -1 || equals >= at + length) {
      throw damaged('has a broken pax header');
    }
    records.set(bytes.toString('utf8', space + 1, equals), text(bytes, equals + 1, at + length - 1));
    at += length;
  }
  return records;
}

function headerName(header: Buffer): string {
  const ustar = header.toString('latin1', 257, 262) === 'ustar';
  const prefix = ustar ? text(header, 345, 500) : '';
  const name = text(header, 0, 100);
  return prefix === '' ? name : `${prefix}/${name}`;
}

/** Up to the first NUL. */
function text(bytes: Buffer, from: number, to: number): string {
  const field = bytes.subarray(from, to);
  const end = field.indexOf(0);
  try {
    return utf8.decode(end === -1 ? field : field.subarray(0, end));
  } catch (error) {
    throw new HearthError('BAD_REQUEST', 'The tar archive has a file name that is not UTF-8.', { cause: error });
  }
}

function octal(header: Buffer, at: number, length: number): number {
  const digits = header
    .toString('latin1', at, at + length)
    .replace(/[\0 ]+$/, '')
    .trimStart();
  if (!/^[0-7]*$/.test(digits)) throw damaged('has a header that is not readable');
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

function decimal(digits: string): number {
  if (!/^\d{1,12}$/.test(digits)) throw damaged('has a broken pax header');
  return Number(digits);
}

/** The sum of a header's bytes, its own field taken as spaces: tells a tar archive from anything else. */
function requireSum(header: Buffer): void {
  let sum = 0;
  for (let i = 0; i < BLOCK; i += 1) sum += i >= 148 && i < 156 ? 0x20 : (header[i] ?? 0);
  if (sum !== octal(header, 148, 8)) throw damaged('is damaged, or no tar archive');
}

function damaged(what: string): HearthError {
  return new HearthError('BAD_REQUEST', `The tar archive ${what}.`);
}
