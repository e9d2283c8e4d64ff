/** An RPC invocation whose arguments and result are JSON. */
import type { RpcInvokeHead } from '../../../functions/contract/invocation.ts';
import { describeThrown, headline } from '../describe.ts';
import { toJson } from './json.ts';
import { follow, MissingMethodError } from './members.ts';
import { rpcRefusal, Served, type ServeParts, textOf } from './served.ts';

/** One call, by the gateway in someone's name: small enough to be answered in one frame. */
export class JsonCall extends Served {
  readonly #method: string;

  constructor(head: RpcInvokeHead, main: object, parts: ServeParts) {
    super(parts);
    this.#method = head.method;
    const ended = this.began(head.timeoutMs);
    this.#run(main)
      .then(
        (text) => this.#answer(text),
        (error: unknown) => this.#failed(error),
      )
      .finally(ended);
  }

  drained(): void {
    return;
  }

  closed(): void {
    this.over_ = true;
    this.settle();
  }

  abort(): void {
    return;
  }

  async #run(main: object): Promise<string> {
    const text = textOf(await this.parts.body.bytes());
    const args: unknown = text === '' ? [] : JSON.parse(text);
    if (!Array.isArray(args)) throw new TypeError('Arguments are an array.');
    const { value } = follow(main, [this.#method]);
    if (typeof value !== 'function') throw new MissingMethodError(`"${this.#method}" is not a method.`);
    return toJson(await Reflect.apply(value, main, args));
  }

  #answer(text: string): void {
    if (this.over_) return;
    this.over_ = true;
    const { answering, invocation } = this.parts;
    answering.exchange.sendHead(this.resultHead(invocation.waiting), Buffer.from(text), true);
  }

  #failed(error: unknown): void {
    if (this.over_) return;
    this.over_ = true;
    const described = describeThrown(error);
    const { exchange } = this.parts.answering;
    exchange.cancel(
      rpcRefusal(error) ?? { code: 'FUNCTION_EXCEPTION', message: headline(described), stack: described.stack },
    );
  }
}
