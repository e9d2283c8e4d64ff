/**
 * Reads zip archives, and with them jars, which are zips: stored and deflated entries, checked against their sums, every
 * length bounded before anything is unpacked. Unpacking happens in zlib's threads, not on the gateway's loop.
 */
import { promisify } from 'node:util';
import { crc32, inflateRaw } from 'node:zlib';
import { HearthError } from '../../functions/contract/errors.ts';

export interface ArchiveLimits {
  /** All files of an archive together, unpacked. */
  mostBytes: number;
  mostFiles: number;
}

export interface ArchiveFile {
  /** As the archive has it; nobody has looked yet whether it leads out of the tree. */
  path: string;
  bytes: Uint8Array;
}

const END_SIGNATURE = 0x06054b50;
const END_BYTES = 22;
const MAX_COMMENT_BYTES = 0xffff;
const ENTRY_SIGNATURE = 0x02014b50;
const ENTRY_BYTES = 46;
const LOCAL_SIGNATURE = 0x04034b50;
const LOCAL_BYTES = 30;

const ENCRYPTED = 0x1;
const STORED = 0;
const DEFLATED = 8;
/** Stands where a zip64 record holds the number, which takes archives far over any limit of a deploy. */
const IN_ZIP64 = 0xffffffff;

const MADE_BY_UNIX = 3;
const FILE_TYPE = 0o170000;
const SYMLINK = 0o120000;

const inflate = promisify(inflateRaw);
const utf8 = new TextDecoder('utf-8', { fatal: true });

interface Entry {
  path: string;
  method: number;
  crc: number;
  packedBytes: number;
  bytes: number;
  /** Where its local header stands. */
  at: number;
}

/** Throws BAD_REQUEST for what is damaged or not of this kind, PAYLOAD_TOO_LARGE over the limits. */
export async function readZip(archive: Buffer, limits: ArchiveLimits): Promise<ArchiveFile[]> {
  const entries = readDirectory(archive, limits.mostFiles);
  const total = entries.reduce((sum, { bytes }) => sum + bytes, 0);
  if (total > limits.mostBytes) throw tooLarge(limits);
  const files: ArchiveFile[] = [];
  for (const entry of entries) files.push({ path: entry.path, bytes: await unpack(archive, entry) });
  return files;
}

export function tooLarge({ mostBytes, mostFiles }: ArchiveLimits): HearthError {
  return new HearthError(
    'PAYLOAD_TOO_LARGE',
    `The archive may hold ${mostFiles} files and ${Math.floor(mostBytes / 1024 / 1024)} MB unpacked (HEARTH_MAX_DEPLOY_MB).`,
  );
}

function readDirectory(archive: Buffer, mostFiles: number): Entry[] {
  const end = findEnd(archive);
  const count = archive.readUInt16LE(end + 10);
  const size = archive.readUInt32LE(end + 12);
  const start = archive.readUInt32LE(end + 16);
  if (start === IN_ZIP64 || size === IN_ZIP64) throw damaged('is of the zip64 form, which is not read here');
  if (start + size > end) throw damaged('has a directory that leads out of it');
  if (count > mostFiles * 2) throw damaged(`has ${count} entries`);

  const entries: Entry[] = [];
  let at = start;
  for (let i = 0; i < count; i += 1) {
    if (at + ENTRY_BYTES > end || archive.readUInt32LE(at) !== ENTRY_SIGNATURE) throw damaged('has a broken directory');
    const nameBytes = archive.readUInt16LE(at + 28);
    const next = at + ENTRY_BYTES + nameBytes + archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32);
    if (next > end) throw damaged('has a broken directory');
    const path = nameOf(archive.subarray(at + ENTRY_BYTES, at + ENTRY_BYTES + nameBytes));
    const entry: Entry = {
      path,
      method: archive.readUInt16LE(at + 10),
      crc: archive.readUInt32LE(at + 16),
      packedBytes: archive.readUInt32LE(at + 20),
      bytes: archive.readUInt32LE(at + 24),
      at: archive.readUInt32LE(at + 42),
    };
    requireReadable(entry, archive.readUInt16LE(at + 8));
    const unixMode = archive.readUInt32LE(at + 38) >>> 16;
    if (archive[at + 5] === MADE_BY_UNIX && (unixMode & FILE_TYPE) === SYMLINK) throw linked(path);
    if (!path.endsWith('/')) entries.push(entry);
    at = next;
  }
  if (entries.length > mostFiles) throw damaged(`has ${entries.length} files; ${mostFiles} are allowed`);
  return entries;
}

/** The record at the very end, behind which only its own comment may stand. */
function findEnd(archive: Buffer): number {
  const earliest = Math.max(0, archive.length - END_BYTES - MAX_COMMENT_BYTES);
  for (let at = archive.length - END_BYTES; at >= earliest; at -= 1) {
    if (archive.readUInt32LE(at) !== END_SIGNATURE) continue;
    if (at + END_BYTES + archive.readUInt16LE(at + 20) === archive.length) return at;
  }
  throw damaged('has no directory: it is cut short, or no zip archive');
}

function nameOf(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw new HearthError('BAD_REQUEST', 'The zip archive has a file name that is not UTF-8.', { cause: error });
  }
}

function requireReadable({ path, method, packedBytes, bytes, at }: Entry, flags: number): void {
  const name = JSON.stringify(path);
  if ((flags & ENCRYPTED) !== 0) throw damaged(`has an encrypted entry, ${name}`);
  if (packedBytes === IN_ZIP64 || bytes === IN_ZIP64 || at === IN_ZIP64) throw damaged(`has a zip64 entry, ${name}`);
  if (method !== STORED && method !== DEFLATED)
    throw damaged(`packs ${name} by method ${method}; deflate is read here`);
}

async function unpack(archive: Buffer, { path, method, crc, packedBytes, bytes, at }: Entry): Promise<Uint8Array> {
  const name = JSON.stringify(path);
  if (at + LOCAL_BYTES > archive.length || archive.readUInt32LE(at) !== LOCAL_SIGNATURE) {
    throw damaged(`is broken where ${name} should begin`);
  }
  // Its lengths of name and extra field are its own: the directory's may differ.
  const start = at + LOCAL_BYTES + archive.readUInt16LE(at + 26) + archive.readUInt16LE(at + 28);
  if (start + packedBytes > archive.length) throw damaged(`is cut short in ${name}`);
  const packed = archive.subarray(start, start + packedBytes);
  let unpacked: Buffer;
  if (method === STORED) unpacked = Buffer.from(packed);
  else {
    try {
      unpacked = await inflate(packed, { maxOutputLength: Math.max(1, bytes) });
    } catch (error) {
      throw new HearthError('BAD_REQUEST', `The zip archive is damaged in ${name}.`, { cause: error });
    }
  }
  if (unpacked.length !== bytes || crc32(unpacked) !== crc) throw damaged(`is damaged in ${name}`);
  return unpacked;
}

export function linked(path: string): HearthError {
  return new HearthError('BAD_REQUEST', `The archive has a link in it, ${JSON.stringify(path)}; put the file there.`);
}

function damaged(what: string): HearthError {
  return new HearthError('BAD_REQUEST', `The zip archive ${what}.`);
}
