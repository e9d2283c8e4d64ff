/** Methods of a function that may stand in the caller's base: if it does now, its class is called where it is. */
import type { BindingSpec } from '../../../functions/contract/invocation.ts';
import { LocalResult } from '../rpc/local.ts';
import type { Remote, Result } from '../rpc/reference.ts';
import type { DirectCalls } from './direct.ts';

type ServiceSpec = Extract<BindingSpec, { kind: 'service' }>;

export class DirectEntrypoint implements Remote {
  readonly #direct: DirectCalls;
  readonly #spec: ServiceSpec;
  /** Over the link. */
  readonly #far: Remote;

  constructor(direct: DirectCalls, spec: ServiceSpec, far: Remote) {
    this.#direct = direct;
    this.#spec = spec;
    this.#far = far;
  }

  call(path: readonly string[], args: unknown[]): Result {
    const called = this.#direct.method(this.#spec, path, args);
    return called === null ? this.#far.call(path, args) : new LocalResult(called);
  }

  value(path: readonly string[]): Promise<unknown> {
    return this.#direct.method(this.#spec, path, null) ?? this.#far.value(path);
  }
}
