/**
 * How what another function offers looks to its callers. Values arrive as copies; what extends RpcTarget, and every
 * function, stays where it is and is called from afar, through a stub. (Within a group both are the very objects.)
 */

/** Makes classes that extend RpcTarget different from plain objects, to the compiler alone. */
export declare const target: unique symbol;

type Callable = (...args: never[]) => unknown;

/**
 * A service binding: `interface Env { CALC: Service<typeof import('../calculator/index.ts').default> }`, or of an
 * instance's type.
 */
export type Service<Entrypoint> = {
  fetch(input: Request | string | URL, init?: RequestInit): Promise<Response>;
} & Members<Entrypoint extends abstract new (...args: never[]) => infer Instance ? Instance : Entrypoint>;

/** An object or function that stands elsewhere. It ends with `using`, and with the invocation that got it. */
export type Stub<T> = Members<T> & (T extends Callable ? Method<T> : unknown) & Disposable & { dup(): Stub<T> };

/** What a call gives: a promise, on which methods of what it will be can be called before it has come. */
export type Called<T> = Promise<Received<T>> & (T extends object ? Members<T> : unknown) & Disposable;

/** Of a class: what it makes public, without what Hearth itself calls. */
type Members<T> = {
  readonly [Name in keyof T as Name extends string
    ? Name extends 'fetch' | 'scheduled' | 'queue' | 'dup' | 'constructor'
      ? never
      : Name
    : never]: T[Name] extends Callable ? Method<T[Name]> : Called<Awaited<T[Name]>>;
};

type Method<T> = T extends (...args: infer Args) => infer Result
  ? (...args: { [I in keyof Args]: Given<Args[I]> }) => Called<Awaited<Result>>
  : never;

/** An argument may also be the result of a call that has not come yet, or a stub of what is asked for. */
type Given<T> = T | Called<T> | (T extends Callable ? never : typeof target extends keyof T ? Stub<T> : never);

/** A result as it arrives. */
type Received<T> = typeof target extends keyof T
  ? Stub<T>
  : T extends Callable
    ? Stub<T>
    : T extends readonly unknown[] | Builtin | string | number | bigint | boolean | null | undefined
      ? T
      : { [Name in keyof T]: Received<T[Name]> } & Disposable;

type Builtin =
  | Map<unknown, unknown>
  | Set<unknown>
  | Date
  | RegExp
  | Error
  | ArrayBuffer
  | ArrayBufferView
  | URL
  | Blob
  | Request
  | Response
  | Headers
  | ReadableStream
  | WritableStream;
