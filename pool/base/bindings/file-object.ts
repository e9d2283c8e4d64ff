/** A file of a bucket as `env` gives it: its head, and its content where that was asked for. */
import type { R2Digest, R2File } from '../../../functions/contract/service-calls.ts';
import type { R2HttpMetadata, R2Object, R2ObjectBody } from '../../../functions/contract/services.ts';
import type { IncomingBody } from '../body.ts';

export class FileObject implements R2Object {
  readonly key: string;
  readonly version: string;
  readonly size: number;
  readonly etag: string;
  readonly httpEtag: string;
  readonly uploaded: Date;
  readonly httpMetadata: R2HttpMetadata;
  readonly customMetadata: Record<string, string>;
  readonly checksums: R2Object['checksums'];
  readonly storageClass = 'Standard';

  constructor(file: R2File) {
    const { cacheExpiry, ...http } = file.http;
    this.key = file.key;
    this.version = file.version;
    this.size = file.size;
    this.etag = file.etag;
    this.httpEtag = `"${file.etag}"`;
    this.uploaded = new Date(file.uploaded);
    this.httpMetadata = { ...http, ...(cacheExpiry === undefined ? {} : { cacheExpiry: new Date(cacheExpiry) }) };
    this.customMetadata = file.custom;
    this.checksums = checksumsOf(file.checksums);
  }

  writeHttpMetadata(headers: Headers): void {
    const { contentType, contentLanguage, contentDisposition, contentEncoding, cacheControl } = this.httpMetadata;
    const named = {
      'content-type': contentType,
      'content-language': contentLanguage,
      'content-disposition': contentDisposition,
      'content-encoding': contentEncoding,
      'cache-control': cacheControl,
      expires: this.httpMetadata.cacheExpiry?.toUTCString(),
    };
    for (const [name, value] of Object.entries(named)) if (value !== undefined) headers.set(name, value);
  }
}

export class FileBody extends FileObject implements R2ObjectBody {
  readonly range: { offset: number; length: number };
  /** Reads the content, once, by whichever of the methods. */
  readonly #response: Response;

  constructor(file: R2File, range: { offset: number; length: number }, body: IncomingBody) {
    super(file);
    this.range = range;
    if (range.length === 0) body.discard();
    this.#response = new Response(range.length === 0 ? new Uint8Array(0) : body.stream());
  }

  get body(): ReadableStream<Uint8Array> {
    return this.#response.body as ReadableStream<Uint8Array>;
  }

  get bodyUsed(): boolean {
    return this.#response.bodyUsed;
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#response.arrayBuffer();
  }

  bytes(): Promise<Uint8Array> {
    return this.#response.bytes();
  }

  text(): Promise<string> {
    return this.#response.text();
  }

  json<T = unknown>(): Promise<T> {
    return this.#response.json() as Promise<T>;
  }

  async blob(): Promise<Blob> {
    const { contentType } = this.httpMetadata;
    return new Blob([await this.arrayBuffer()], contentType === undefined ? {} : { type: contentType });
  }
}

function checksumsOf(hex: Partial<Record<R2Digest, string>>): R2Object['checksums'] {
  const bytes = Object.entries(hex).map(([digest, text]) => [digest, new Uint8Array(Buffer.from(text, 'hex')).buffer]);
  return Object.defineProperty(Object.fromEntries(bytes), 'toJSON', { value: () => ({ ...hex }) });
}
