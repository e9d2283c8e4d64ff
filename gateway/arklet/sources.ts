/**
 * Where modules come from: http(s) URLs, and files under directories that the operator named. Everything is bounded in
 * bytes and time; see gateway/addresses.ts for what is not fetched from.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, opendir, realpath } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import { basename, isAbsolute, join, resolve, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { HearthError } from '../../functions/contract/errors.ts';
import { checkedLookup, createAddressCheck } from '../addresses.ts';

export interface SourceSettings {
  /** HEARTH_ARKLET_SOURCES: absolute directories, and hosts (`HOST` or `HOST:PORT`) that may be at any address. */
  allowed: readonly string[];
  mostBytes: number;
  /** Longest time one download may take. */
  timeoutMs: number;
}

export interface Source {
  bytes: Buffer;
  /** The last part of its path. */
  fileName: string;
}

export interface Sources {
  /** Throws BAD_REQUEST, FORBIDDEN for what Hearth may not read, PAYLOAD_TOO_LARGE. */
  read(bizUrl: string): Promise<Source>;
  /** Files under a directory whose name fits, as file: URLs, in the order of their paths. */
  list(directory: string, fits: (fileName: string) => boolean): Promise<string[]>;
}

const MAX_REDIRECTS = 5;
const MAX_DEPTH = 8;
/** Files and directories that are looked at in one search. */
const MAX_LISTED = 10_000;

export function createSources({ allowed, mostBytes, timeoutMs }: SourceSettings): Sources {
  const directories = allowed.filter((source) => isAbsolute(source));
  const hosts = new Set(allowed.filter((source) => !isAbsolute(source)).map((host) => host.toLowerCase()));
  // Artifact stores stand in private networks as a rule.
  const checkAddress = createAddressCheck(true);
  const lookup = checkedLookup(checkAddress, refusedAddress);

  return {
    async read(bizUrl) {
      const url = parseUrl(bizUrl);
      if (url.protocol === 'file:') {
        const path = pathOf(url);
        return { bytes: await readFile(path), fileName: basename(path) };
      }
      // Not the URL that redirects lead to: those of artifact stores often name nothing.
      const fileName = decoded(url.pathname.split('/').pop() ?? '');
      return { bytes: await download(url, AbortSignal.timeout(timeoutMs)), fileName };
    },
    async list(directory, fits) {
      if (!isAbsolute(directory))
        throw new HearthError('BAD_REQUEST', 'bizDirAbsolutePath has to be an absolute path.');
      const top = await allowedPath(directory);
      const found: string[] = [];
      let seen = 0;
      const search = async (path: string, depth: number): Promise<void> => {
        for await (const entry of await opendir(path)) {
          seen += 1;
          if (seen > MAX_LISTED) {
            throw new HearthError(
              'BAD_REQUEST',
              `${directory} holds more than ${MAX_LISTED} files; name a smaller one.`,
            );
          }
          const below = join(path, entry.name);
          if (entry.isDirectory() && depth < MAX_DEPTH) await search(below, depth + 1);
          // Links are not followed.
          else if (entry.isFile() && fits(entry.name)) found.push(below);
        }
      };
      await search(top, 0).catch((error: unknown) => {
        throw error instanceof HearthError ? error : unreadable(directory, error);
      });
      return found.sort().map((path) => pathToFileURL(path).href);
    },
  };

  async function readFile(given: string): Promise<Buffer> {
    const path = await allowedPath(given);
    let file: FileHandle | null = null;
    try {
      // Not blocking: a FIFO would hold up a thread of the gateway until somebody writes to it.
      file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      const stat = await file.stat();
      if (!stat.isFile()) throw new HearthError('BAD_REQUEST', `${given} is no regular file.`);
      if (stat.size > mostBytes) throw tooLarge();
      const bytes = await file.readFile();
      if (bytes.length > mostBytes) throw tooLarge();
      return bytes;
    } catch (error) {
      throw error instanceof HearthError ? error : unreadable(given, error);
    } finally {
      await file?.close();
    }
  }

  /** Without links and dots. What stands outside the allowed directories is refused alike, whether it exists or not. */
  async function allowedPath(given: string): Promise<string> {
    const tops = await Promise.all(directories.map((directory) => realpath(directory).catch(() => directory)));
    const inside = (path: string) => tops.some((top) => path === top || path.startsWith(top + sep));
    let path: string;
    try {
      path = await realpath(given);
    } catch (error) {
      const meant = resolve(given);
      if (inside(meant) || directories.some((directory) => meant.startsWith(directory + sep))) {
        throw unreadable(given, error);
      }
      throw outside(given, directories);
    }
    if (!inside(path)) throw outside(given, directories);
    return path;
  }

  async function download(first: URL, signal: AbortSignal): Promise<Buffer> {
    let url = first;
    for (let hops = 0; hops <= MAX_REDIRECTS; hops += 1) {
      const answer = await ask(url, signal);
      const { statusCode = 0, headers } = answer;
      if (statusCode === 200) return await bodyOf(answer, url, signal);
      answer.destroy();
      if (statusCode < 300 || statusCode > 399 || headers.location === undefined) {
        throw new HearthError('BAD_REQUEST', `bizUrl: ${url.host} answered ${statusCode} instead of 200.`);
      }
      const next = parseUrl(headers.location, url);
      if (next.protocol === 'file:' || (url.protocol === 'https:' && next.protocol === 'http:')) {
        throw new HearthError('BAD_REQUEST', `bizUrl: ${url.host} redirects to a ${next.protocol} URL.`);
      }
      url = next;
    }
    throw new HearthError('BAD_REQUEST', `bizUrl: ${first.host} redirects more than ${MAX_REDIRECTS} times.`);
  }

  function ask(url: URL, signal: AbortSignal): Promise<IncomingMessage> {
    const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
    const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
    const trusted = hosts.has(host) || hosts.has(`${host}:${port}`) || hosts.has(`[${host}]:${port}`);
    // A look-up is not made for what is an address already.
    if (!trusted && isIP(host) !== 0 && !checkAddress(host)) return Promise.reject(refusedAddress(host, host));
    const options: RequestOptions = {
      signal,
      agent: false,
      headers: { 'user-agent': 'hearth', 'accept-encoding': 'identity' },
      ...(trusted ? {} : { lookup }),
    };
    return new Promise((fulfil, reject) => {
      const request = url.protocol === 'https:' ? httpsRequest(url, options) : httpRequest(url, options);
      request.once('response', fulfil);
      // Stays: what breaks after the head is told to whoever reads the body.
      request.on('error', (error) => reject(unreachable(url, error, signal)));
      request.end();
    });
  }

  async function bodyOf(answer: IncomingMessage, url: URL, signal: AbortSignal): Promise<Buffer> {
    if (Number(answer.headers['content-length'] ?? 0) > mostBytes) {
      answer.destroy();
      throw tooLarge();
    }
    const chunks: Buffer[] = [];
    let size = 0;
    try {
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > mostBytes) throw tooLarge();
        chunks.push(chunk);
      }
    } catch (error) {
      throw unreachable(url, error, signal);
    }
    return Buffer.concat(chunks);
  }

  function tooLarge(): HearthError {
    const most = Math.floor(mostBytes / 1024 / 1024);
    return new HearthError('PAYLOAD_TOO_LARGE', `bizUrl leads to more than ${most} MB (HEARTH_MAX_DEPLOY_MB).`);
  }
}

function parseUrl(text: string, base?: URL): URL {
  const url = URL.canParse(text, base?.href) ? new URL(text, base?.href) : null;
  if (url !== null && ['file:', 'http:', 'https:'].includes(url.protocol)) return url;
  throw new HearthError('BAD_REQUEST', 'bizUrl has to be an http:, https: or file: URL.');
}

function pathOf(url: URL): string {
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw new HearthError('BAD_REQUEST', `bizUrl is no path of this machine: ${(error as Error).message}.`, {
      cause: error,
    });
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return text;
    throw error;
  }
}

function outside(path: string, directories: readonly string[]): HearthError {
  const allowed = directories.length === 0 ? 'none is named' : `those are ${directories.join(', ')}`;
  return new HearthError('FORBIDDEN', `${path} is not below a directory that HEARTH_ARKLET_SOURCES names; ${allowed}.`);
}

function unreadable(path: string, error: unknown): HearthError {
  const { code = 'unknown error' } = error as NodeJS.ErrnoException;
  return new HearthError('BAD_REQUEST', `${path} cannot be read (${code}).`, { cause: error });
}

/** Without the URL itself, which may carry a password. */
function unreachable(url: URL, error: unknown, signal: AbortSignal): HearthError {
  if (error instanceof HearthError) return error;
  const why = signal.aborted ? 'it took too long' : error instanceof Error ? error.message : String(error);
  return new HearthError('BAD_REQUEST', `bizUrl could not be fetched from ${url.host}: ${why}.`, { cause: error });
}

function refusedAddress(host: string, address: string): HearthError {
  return new HearthError(
    'FORBIDDEN',
    `${host} is ${host === address ? 'an' : `at ${address}, an`} address of this machine or its surroundings, which ` +
      `Hearth does not fetch from; name ${host} in HEARTH_ARKLET_SOURCES to allow it.`,
  );
}
