/**
 * WASM memory and SharedArrayBuffers, counted where they are made: V8's statistics hold neither. What would go over the
 * limit is refused with a RangeError, as the engine refuses what the machine does not have.
 */
import { types } from 'node:util';
import { boundMemories, PAGE_BYTES } from './meter-wasm.ts';
import { apply, construct as constructOf, defineProperty, uncurry } from './policy/intrinsics.ts';

// Taken before foreign code runs, which could replace them to go uncounted, or to be handed the real constructors.
const deref = uncurry(WeakRef.prototype.deref) as (ref: WeakRef<object>) => object | undefined;
const { isView } = ArrayBuffer;
const { isAnyArrayBuffer } = types;
const Bytes = Uint8Array;
const Reference = WeakRef;

export interface OffHeapOptions {
  changed(bytes: number): void;
  /** Collects garbage, so that what nobody holds any more counts no longer. */
  collect(): void;
}

type Sized = { ref: WeakRef<object>; bytes(held: object): number };
type AnyConstructor = new (...args: unknown[]) => object;

/** What is replaced of the global `WebAssembly`, which Node's types do not know. */
interface Wasm {
  Memory: AnyConstructor;
  Module: AnyConstructor;
  Instance: new (...args: unknown[]) => WasmInstance;
  compile(source: unknown): Promise<object>;
  instantiate(module: object, imports: unknown): Promise<WasmInstance>;
}
interface WasmInstance {
  exports: Record<string, unknown>;
}

export class OffHeap {
  /** 0: none, before the lease. */
  limitBytes = 0;
  readonly #options: OffHeapOptions;
  #held: Sized[] = [];
  /** Initial pages of modules, for instances whose memory is not exported. */
  readonly #initial = new WeakMap<object, number>();

  constructor(options: OffHeapOptions) {
    this.#options = options;
  }

  /** Replaces the constructors on this global object. */
  install(target: typeof globalThis): void {
    this.#installShared(target);
    const wasm = (target as unknown as { WebAssembly: Wasm }).WebAssembly;
    this.#installMemory(wasm);
    this.#installModules(wasm);
  }

  /** Throws RangeError when `bytes` more are not to be had. */
  #admit(bytes: number, what: string): void {
    if (this.limitBytes === 0 || !(bytes > 0) || this.#count() + bytes <= this.limitBytes) return;
    this.#options.collect();
    if (this.#count() + bytes <= this.limitBytes) return;
    throw new RangeError(`${what}: over the memory limit of ${this.limitBytes / 2 ** 20} MB (hearth.memoryMb)`);
  }

  #add<T extends object>(object: T, bytes: (held: T) => number): void {
    this.#held[this.#held.length] = { ref: new Reference(object), bytes: bytes as (held: object) => number };
    this.#count();
  }

  #count(): number {
    let sum = 0;
    let kept = 0;
    // In place and by index: there is no method that could have been replaced.
    for (let at = 0; at < this.#held.length; at++) {
      const sized = this.#held[at] as Sized;
      const held = deref(sized.ref);
      if (held === undefined) continue;
      sum += sized.bytes(held);
      this.#held[kept++] = sized;
    }
    this.#held.length = kept;
    this.#options.changed(sum);
    return sum;
  }

  #installShared(target: object): void {
    const Real = SharedArrayBuffer;
    const byteLength = getter(Real.prototype, 'byteLength');
    const made = replace(Real, 'SharedArrayBuffer', (args, construct) => {
      this.#admit(Number(args[0]), 'SharedArrayBuffer');
      const buffer = construct(args);
      this.#add(buffer, byteLength);
      return buffer;
    });
    const grow = Real.prototype.grow;
    const admit = (buffer: object, length: number) => this.#admit(length - byteLength(buffer), 'SharedArrayBuffer');
    const counted = () => this.#count();
    define(Real.prototype, 'grow', function (this: SharedArrayBuffer, length?: number) {
      admit(this, Number(length));
      apply(grow, this, [length]);
      counted();
    });
    // It makes the copy with whatever constructor the buffer says, the real one when it says none.
    const slice = Real.prototype.slice;
    const admitCopy = (buffer: object) => this.#admit(byteLength(buffer), 'SharedArrayBuffer.slice()');
    // The constructor that the buffer names may be the one above, which has counted it.
    const add = (copy: object) => {
      const last = this.#held[this.#held.length - 1];
      if (last === undefined || deref(last.ref) !== copy) this.#add(copy, byteLength);
    };
    define(Real.prototype, 'slice', function (this: SharedArrayBuffer, ...range: unknown[]) {
      admitCopy(this);
      const copy = apply(slice, this, range) as SharedArrayBuffer;
      add(copy);
      return copy;
    });
    define(target, 'SharedArrayBuffer', made);
  }

  #installMemory(wasm: Wasm): void {
    const Real = wasm.Memory;
    const bytesOf = memoryBytes(Real.prototype);
    const made = replace(Real, 'Memory', (args, construct) => {
      const descriptor = { ...(args[0] as { initial?: number; minimum?: number; maximum?: number }) };
      const initial = Number(descriptor.initial ?? descriptor.minimum ?? 0);
      this.#admit(initial * PAGE_BYTES, 'WebAssembly.Memory');
      const most = Math.max(initial, this.#mostPages());
      if (descriptor.maximum === undefined ? Number.isFinite(most) : Number(descriptor.maximum) > most) {
        // A memory of 64 bits has its sizes as BigInt.
        Object.assign(descriptor, { maximum: typeof (descriptor.initial ?? 0) === 'bigint' ? BigInt(most) : most });
      }
      const memory = construct([descriptor]);
      this.#add(memory, bytesOf);
      return memory;
    });
    const grow = (Real.prototype as { grow(pages: unknown): number }).grow;
    const admit = (pages: unknown) => this.#admit(Number(pages) * PAGE_BYTES, 'WebAssembly.Memory.grow()');
    const counted = () => this.#count();
    define(Real.prototype, 'grow', function (this: object, pages: unknown) {
      admit(pages);
      const before = apply(grow, this, [pages]) as number;
      counted();
      return before;
    });
    define(wasm, 'Memory', made);
  }

  #installModules(wasm: Wasm): void {
    const { Memory, Module, Instance } = wasm;
    const compile = wasm.compile.bind(wasm);
    const instantiate = wasm.instantiate.bind(wasm);
    const bytesOf = memoryBytes(Memory.prototype);
    const bounded = (source: unknown) => {
      const bytes = bytesFrom(source);
      return bytes === null ? null : boundMemories(bytes, this.#mostPages());
    };
    const known = (module: object, initialPages: number) => {
      this.#initial.set(module, initialPages);
      return module;
    };
    const admitInstance = (module: unknown) => {
      const pages = typeof module === 'object' && module !== null ? (this.#initial.get(module) ?? 0) : 0;
      this.#admit(pages * PAGE_BYTES, 'WebAssembly.Instance');
      return pages;
    };
    const addInstance = (instance: WasmInstance, pages: number) => {
      const memories = Object.values(instance.exports).filter((value): value is object => value instanceof Memory);
      for (const memory of memories) this.#add(memory, bytesOf);
      if (memories.length === 0 && pages > 0) this.#add(instance, () => pages * PAGE_BYTES);
    };
    define(
      wasm,
      'Module',
      replace(Module, 'Module', (args, construct) => {
        const from = bounded(args[0]);
        return from === null ? construct(args) : known(construct([from.bytes, ...args.slice(1)]), from.initialPages);
      }),
    );
    define(
      wasm,
      'Instance',
      replace(Instance, 'Instance', (args, construct) => {
        const pages = admitInstance(args[0]);
        const instance = construct(args);
        addInstance(instance, pages);
        return instance;
      }),
    );
    const compileBounded = async (source: unknown): Promise<object> => {
      const from = bounded(source);
      if (from === null) return compile(source);
      return known(await compile(from.bytes), from.initialPages);
    };
    const instantiateBounded = async (source: unknown, imports?: unknown): Promise<unknown> => {
      const isModule = source instanceof Module;
      const module = isModule ? (source as object) : await compileBounded(source);
      const pages = admitInstance(module);
      const instance = await instantiate(module, imports);
      addInstance(instance, pages);
      return isModule ? instance : { module, instance };
    };
    const bodyOf = async (response: unknown) => new Uint8Array(await (await (response as Response)).arrayBuffer());
    define(wasm, 'compile', compileBounded);
    define(wasm, 'instantiate', instantiateBounded);
    define(wasm, 'compileStreaming', async (response: unknown) => compileBounded(await bodyOf(response)));
    define(wasm, 'instantiateStreaming', async (response: unknown, imports?: unknown) =>
      instantiateBounded(await bodyOf(response), imports),
    );
  }

  #mostPages(): number {
    return this.limitBytes === 0 ? Number.POSITIVE_INFINITY : Math.floor(this.limitBytes / PAGE_BYTES);
  }
}

/** A constructor with the same prototype, so that `instanceof` and subclasses go on as they were. */
function replace<T extends object>(
  Real: new (...args: never[]) => T,
  name: string,
  make: (args: unknown[], construct: (args: unknown[]) => T) => object,
): unknown {
  const Made = function (this: unknown, ...args: unknown[]): object {
    const target = new.target as unknown as AnyConstructor | undefined;
    if (target === undefined) throw new TypeError(`${name} must be called with new`);
    const kind = target === (Made as unknown) ? (Real as unknown as AnyConstructor) : target;
    return make(args, (given) => constructOf(Real as unknown as AnyConstructor, given, kind) as T);
  };
  for (const key of Reflect.ownKeys(Real)) {
    if (key === 'prototype' || key === 'length' || key === 'name') continue;
    Object.defineProperty(Made, key, Object.getOwnPropertyDescriptor(Real, key) ?? {});
  }
  Object.defineProperty(Made, 'name', { value: name });
  Object.defineProperty(Made, 'prototype', { value: Real.prototype, writable: false });
  Object.defineProperty(Real.prototype, 'constructor', { value: Made, writable: true, configurable: true });
  return Made;
}

function define(target: object, name: string, value: unknown): void {
  defineProperty(target, name, { value, writable: true, configurable: true, enumerable: false });
}

function getter(prototype: object, name: string): (held: object) => number {
  const read = Object.getOwnPropertyDescriptor(prototype, name)?.get;
  if (read === undefined) throw new Error(`No getter ${name} to count by.`);
  return uncurry(read as (this: object) => number);
}

function memoryBytes(prototype: object): (memory: object) => number {
  const read = Object.getOwnPropertyDescriptor(prototype, 'buffer')?.get;
  if (read === undefined) throw new Error('No buffer to count by.');
  const bufferOf = uncurry(read as (this: object) => ArrayBuffer | SharedArrayBuffer);
  const plainLength = getter(ArrayBuffer.prototype, 'byteLength');
  const sharedLength = getter(SharedArrayBuffer.prototype, 'byteLength');
  return (memory) => {
    const buffer = bufferOf(memory);
    try {
      return plainLength(buffer);
    } catch {
      return sharedLength(buffer); // a memory that is shared: the getters refuse each other's buffers
    }
  };
}

function bytesFrom(source: unknown): Uint8Array | null {
  if (isView(source)) return new Bytes(source.buffer, source.byteOffset, source.byteLength);
  if (isAnyArrayBuffer(source)) return new Bytes(source);
  return null;
}
