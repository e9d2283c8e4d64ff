/**
 * Globals that Workers has and Node has not, each made when a module first asks for it: most never do, and a base is to
 * boot in milliseconds. What cannot be had is left undefined, so that code which looks for it finds that out.
 */
import { createHash, type Hash, timingSafeEqual } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';

// Taken before foreign code runs.
const { defineProperty } = Object;
const RealRequest = globalThis.Request;

export function installWorkersGlobals(): void {
  lazy(globalThis, 'scheduler', () => ({ wait: waitFor }));
  lazy(globalThis, 'caches', makeCaches);
  lazy(globalThis, 'IdentityTransformStream', makeIdentityTransformStream);
  lazy(globalThis, 'FixedLengthStream', makeFixedLengthStream);
  extendCrypto();
  // Of a network that Hearth is not: nothing is known of a client but its address.
  defineProperty(RealRequest.prototype, 'cf', { get: () => NO_CF, configurable: true });
}

const NO_CF = Object.freeze({});

/** Node makes `crypto` when it is first read, which takes 0.7 ms: so is what stands in it. */
function extendCrypto(): void {
  const own = Object.getOwnPropertyDescriptor(globalThis, 'crypto');
  if (own?.get === undefined) return;
  const make = own.get;
  defineProperty(globalThis, 'crypto', {
    ...own,
    get() {
      defineProperty(globalThis, 'crypto', own);
      const crypto = Reflect.apply(make, globalThis, []) as Crypto;
      lazy(crypto, 'DigestStream', makeDigestStream);
      lazy(Object.getPrototypeOf(crypto.subtle) as object, 'timingSafeEqual', () => equalInConstantTime);
      return crypto;
    },
  });
}

/** A property that becomes its value when it is first read, or is written to. */
function lazy(target: object, name: string, make: () => unknown): void {
  const become = (value: unknown) => {
    defineProperty(target, name, { value, writable: true, configurable: true });
    return value;
  };
  defineProperty(target, name, { get: () => become(make()), set: become, configurable: true });
}

async function waitFor(ms: number, options: { signal?: AbortSignal } = {}): Promise<void> {
  await wait(ms, undefined, options.signal === undefined ? {} : { signal: options.signal });
}

/** Throws TypeError for lengths that differ, as Workers does. */
function equalInConstantTime(a: ArrayBuffer | ArrayBufferView, b: ArrayBuffer | ArrayBufferView): boolean {
  const [left, right] = [bytesOf(a), bytesOf(b)];
  if (left.byteLength !== right.byteLength) throw new TypeError('Input buffers must have the same byte length');
  return timingSafeEqual(left, right);
}

function bytesOf(source: unknown): Uint8Array {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  throw new TypeError('Expected an ArrayBuffer or a view of one.');
}

/** Any chunk a stream of bytes may be given. */
function chunkBytes(chunk: unknown): Uint8Array {
  return typeof chunk === 'string' ? Buffer.from(chunk) : bytesOf(chunk);
}

/**
 * A cache that keeps nothing, as Workers' own does where there is no zone: code that asks it first goes on to what it
 * caches. What may not be put is refused as there.
 */
function makeCaches(): unknown {
  class Cache {
    async match(_request: unknown): Promise<undefined> {
      return undefined;
    }

    async put(given: Request | string | URL, response: Response): Promise<void> {
      const request = new Request(given as Request);
      if (request.method !== 'GET') throw new TypeError('Cache.put only takes GET requests.');
      if (response.status === 206) throw new TypeError('Cache.put does not take partial content (206).');
      if (response.headers.get('vary')?.includes('*') === true) throw new TypeError('Cache.put does not take Vary: *.');
      await response.body?.cancel();
    }

    async delete(_request: unknown): Promise<boolean> {
      return false;
    }
  }
  const cache = new Cache();
  return { default: cache, open: async (_name: string) => cache };
}

function makeIdentityTransformStream(): unknown {
  return class IdentityTransformStream extends TransformStream {
    constructor(writable?: QueuingStrategy, readable?: QueuingStrategy) {
      super({ transform: (chunk, controller) => controller.enqueue(chunkBytes(chunk)) }, writable, readable);
    }
  };
}

function makeFixedLengthStream(): unknown {
  return class FixedLengthStream extends TransformStream {
    constructor(expected: number | bigint, writable?: QueuingStrategy, readable?: QueuingStrategy) {
      const length = Number(expected);
      if (!Number.isSafeInteger(length) || length < 0)
        throw new TypeError('FixedLengthStream takes a length in bytes.');
      let seen = 0;
      super(
        {
          transform(chunk, controller) {
            const bytes = chunkBytes(chunk);
            seen += bytes.byteLength;
            if (seen > length) throw new TypeError('Attempt to write too many bytes through a FixedLengthStream.');
            controller.enqueue(bytes);
          },
          flush() {
            if (seen < length) throw new TypeError('FixedLengthStream did not see all expected bytes before close().');
          },
        },
        writable,
        readable,
      );
    }
  };
}

const DIGESTS: Readonly<Record<string, string>> = {
  md5: 'md5',
  'sha-1': 'sha1',
  'sha-256': 'sha256',
  'sha-384': 'sha384',
  'sha-512': 'sha512',
};

function makeDigestStream(): unknown {
  return class DigestStream extends WritableStream {
    readonly digest: Promise<ArrayBuffer>;
    bytesWritten = 0n;

    constructor(algorithm: string | { name: string }) {
      const name = typeof algorithm === 'string' ? algorithm : algorithm?.name;
      const known = DIGESTS[String(name).toLowerCase()];
      if (known === undefined) throw new DOMException(`Unrecognized digest algorithm: ${name}.`, 'NotSupportedError');
      const hash: Hash = createHash(known);
      const { promise, resolve, reject } = Promise.withResolvers<ArrayBuffer>();
      // Whoever does not ask for it is not told that there is none.
      promise.catch(() => undefined);
      super({
        write: (chunk) => {
          const bytes = chunkBytes(chunk);
          this.bytesWritten += BigInt(bytes.byteLength);
          hash.update(bytes);
        },
        close: () => resolve(new Uint8Array(hash.digest()).buffer),
        abort: (reason) => reject(reason),
      });
      this.digest = promise;
    }
  };
}
