/** `r2_buckets` in `env`: the methods of Workers' R2, but for multipart uploads. */

import { MAX_FILE_LIST } from '../../../functions/contract/limits.ts';
import type {
  R2Condition,
  R2Digest,
  R2File,
  R2GetAnswer,
  R2HttpMetadata,
  R2ListAnswer,
  R2Range as WireRange,
} from '../../../functions/contract/service-calls.ts';
import type {
  R2Bucket,
  R2Conditional,
  R2GetOptions,
  R2ListOptions,
  R2Object,
  R2ObjectBody,
  R2Objects,
  R2PutOptions,
  R2Range,
} from '../../../functions/contract/services.ts';
import type { BindingCalls } from './call.ts';
import { FileBody, FileObject } from './file-object.ts';

const DIGESTS: readonly R2Digest[] = ['md5', 'sha1', 'sha256', 'sha384', 'sha512'];

export class FileBinding implements R2Bucket {
  readonly #calls: BindingCalls;

  constructor(calls: BindingCalls) {
    this.#calls = calls;
  }

  async head(key: string): Promise<R2Object | null> {
    const { file } = await this.#calls.ask<{ file: R2File | null }>({ op: 'r2.head', key: keyOf(key) });
    return file === null ? null : new FileObject(file);
  }

  async get(key: string, options: R2GetOptions = {}): Promise<R2ObjectBody | R2Object | null> {
    const { onlyIf, range } = options;
    const call = { op: 'r2.get', key: keyOf(key), onlyIf: conditionOf(onlyIf), range: rangeOf(range) } as const;
    const { head, body } = await this.#calls.call<R2GetAnswer>(call, null);
    if (head.file !== null && head.range !== null) return new FileBody(head.file, head.range, body);
    body.discard();
    return head.file === null ? null : new FileObject(head.file);
  }

  async put(
    key: string,
    value: ReadableStream | ArrayBuffer | ArrayBufferView | string | Blob | null,
    options: R2PutOptions = {},
  ): Promise<R2Object | null> {
    const { file } = await this.#calls.ask<{ file: R2File | null }>(
      {
        op: 'r2.put',
        key: keyOf(key),
        onlyIf: conditionOf(options.onlyIf),
        http: httpOf(options.httpMetadata),
        custom: { ...options.customMetadata },
        expected: expectedOf(options),
      },
      contentOf(value),
    );
    return file === null ? null : new FileObject(file);
  }

  async delete(keys: string | string[]): Promise<void> {
    const all = Array.isArray(keys) ? keys : [keys];
    await this.#calls.ask({ op: 'r2.delete', keys: all.map(keyOf) });
  }

  async list(options: R2ListOptions = {}): Promise<R2Objects> {
    const { prefix = '', limit = MAX_FILE_LIST, cursor = null, delimiter = null, startAfter = null } = options;
    const page = await this.#calls.ask<R2ListAnswer>({ op: 'r2.list', prefix, limit, cursor, delimiter, startAfter });
    return {
      objects: page.files.map((file) => new FileObject(file)),
      delimitedPrefixes: page.prefixes,
      truncated: page.cursor !== null,
      ...(page.cursor === null ? {} : { cursor: page.cursor }),
    };
  }

  createMultipartUpload(): never {
    throw multipart();
  }

  resumeMultipartUpload(): never {
    throw multipart();
  }
}

function multipart(): Error {
  return new Error('Hearth has no multipart uploads: put() takes a stream of any length, up to HEARTH_MAX_BODY_MB.');
}

function keyOf(key: unknown): string {
  if (typeof key === 'string') return key;
  throw new TypeError('The key of a file has to be a string.');
}

function contentOf(value: unknown): Uint8Array | ReadableStream<Uint8Array> | null {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return Buffer.from(value);
  if (value instanceof ArrayBuffer) return new Uint8Array(value.slice(0));
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice();
  if (value instanceof Blob) return value.stream();
  if (value instanceof ReadableStream) return value as ReadableStream<Uint8Array>;
  throw new TypeError('put() takes a string, an ArrayBuffer or a view of one, a Blob, a ReadableStream, or null.');
}

function conditionOf(given: R2Conditional | Headers | undefined): R2Condition | null {
  if (given === undefined || given === null) return null;
  if (given instanceof Headers) return conditionOfHeaders(given);
  const { etagMatches, etagDoesNotMatch, uploadedBefore, uploadedAfter, secondsGranularity = false } = given;
  const etags = (etag: string | string[] | undefined) => (etag === undefined ? null : [etag].flat());
  const time = (date: Date | undefined) => {
    if (date === undefined) return null;
    const ms = new Date(date).getTime();
    if (Number.isNaN(ms)) throw new TypeError('A condition on the time of upload takes a Date.');
    return ms;
  };
  const before = time(uploadedBefore);
  const after = time(uploadedAfter);
  return {
    etagMatches: etags(etagMatches),
    etagDoesNotMatch: etags(etagDoesNotMatch),
    // In whole seconds: what was uploaded within the second named was so neither before nor after it.
    uploadedBefore: secondsGranularity && before !== null ? Math.floor(before / 1000) * 1000 : before,
    uploadedAfter: secondsGranularity && after !== null ? Math.floor(after / 1000) * 1000 + 999 : after,
  };
}

/** RFC 9110, 13.1. Etags go before times. */
function conditionOfHeaders(headers: Headers): R2Condition {
  const etags = (name: string) => {
    const text = headers.get(name);
    return text === null ? null : text.split(',').map((etag) => etag.trim().replace(/^(W\/)?"(.*)"$/, '$2'));
  };
  const time = (name: string) => {
    const ms = Date.parse(headers.get(name) ?? '');
    return Number.isNaN(ms) ? null : ms;
  };
  const etagMatches = etags('if-match');
  const etagDoesNotMatch = etags('if-none-match');
  const since = etagDoesNotMatch === null ? time('if-modified-since') : null;
  const unmodified = etagMatches === null ? time('if-unmodified-since') : null;
  return {
    etagMatches,
    etagDoesNotMatch,
    uploadedBefore: unmodified === null ? null : unmodified + 1000,
    uploadedAfter: since === null ? null : since + 999,
  };
}

function rangeOf(range: R2Range | Headers | undefined): WireRange | null {
  if (range === undefined || range === null) return null;
  if (range instanceof Headers) return rangeOfHeader(range.get('range'));
  const { offset, length, suffix } = range as { offset?: number; length?: number; suffix?: number };
  for (const given of [offset, length, suffix]) {
    if (given !== undefined && !(Number.isSafeInteger(given) && given >= 0)) {
      throw new RangeError('A range is given in whole bytes.');
    }
  }
  if (suffix === undefined) return { offset: offset ?? 0, length: length ?? null };
  if (offset === undefined && length === undefined) return { suffix };
  throw new TypeError('A range has a suffix, or an offset and a length.');
}

/** Others than one range of bytes are left aside, as RFC 9110 has it: the whole is answered. */
function rangeOfHeader(header: string | null): WireRange | null {
  const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '') ?? [];
  if (from === '') return to === '' ? null : { suffix: Number(to) };
  if (to === '') return { offset: Number(from), length: null };
  const length = Number(to) - Number(from) + 1;
  return length < 1 ? null : { offset: Number(from), length };
}

function httpOf(given: R2PutOptions['httpMetadata']): R2HttpMetadata {
  if (given === undefined || given === null) return {};
  if (!(given instanceof Headers)) {
    const { cacheExpiry, ...rest } = given;
    return { ...rest, ...(cacheExpiry === undefined ? {} : { cacheExpiry: new Date(cacheExpiry).getTime() }) };
  }
  const named = {
    contentType: given.get('content-type'),
    contentLanguage: given.get('content-language'),
    contentDisposition: given.get('content-disposition'),
    contentEncoding: given.get('content-encoding'),
    cacheControl: given.get('cache-control'),
  };
  const expires = Date.parse(given.get('expires') ?? '');
  return {
    ...(Object.fromEntries(Object.entries(named).filter(([, value]) => value !== null)) as R2HttpMetadata),
    ...(Number.isNaN(expires) ? {} : { cacheExpiry: expires }),
  };
}

function expectedOf(options: R2PutOptions): { digest: R2Digest; hex: string } | null {
  const given = DIGESTS.flatMap((digest) => {
    const value = options[digest];
    return value === undefined ? [] : [{ digest, hex: typeof value === 'string' ? value.toLowerCase() : hexOf(value) }];
  });
  if (given.length > 1) throw new TypeError('put() takes one digest of the content.');
  return given[0] ?? null;
}

function hexOf(bytes: ArrayBuffer | ArrayBufferView): string {
  const view = ArrayBuffer.isView(bytes)
    ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : Buffer.from(bytes);
  return view.toString('hex');
}
