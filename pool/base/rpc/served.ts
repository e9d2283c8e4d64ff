/** What all RPC invocations have in common in the base that is called, whoever calls. */
import { monotonicMs, type RpcResultHead } from '../../../functions/contract/invocation.ts';
import type { LinkError } from '../../link/link.ts';
import type { IncomingBody } from '../body.ts';
import type { Follower, Invocation } from '../context.ts';
import type { Deadlines, Watched } from '../deadlines.ts';
import { describeThrown, headline } from '../describe.ts';
import type { Answering, AnswerPump } from '../handlers/fetch.ts';
import { MissingMethodError } from './members.ts';
import type { Capnweb } from './session.ts';

export interface ServeParts {
  capnweb: Capnweb;
  invocation: Invocation;
  body: IncomingBody;
  answering: Answering;
  deadlines: Pick<Deadlines, 'add' | 'delete'>;
}

/** For the gateway and for callers: there is no such thing. */
export class NoEntrypointError extends Error {}

/** What a call that could not even begin is answered with. */
export function rpcRefusal(thrown: unknown): LinkError | null {
  const missing = thrown instanceof MissingMethodError || thrown instanceof NoEntrypointError;
  return missing ? { code: 'NOT_FOUND', message: thrown.message } : null;
}

/** It ends when the exchange is over and no method runs any more. */
export abstract class Served implements AnswerPump, Follower {
  protected readonly parts: ServeParts;
  protected readonly calledAt = monotonicMs();
  protected over_ = false;
  #running = 0;
  #done = false;

  constructor(parts: ServeParts) {
    this.parts = parts;
    parts.invocation.begin(this);
  }

  /** A method runs on, though nobody waits for it. */
  get busy(): boolean {
    return this.#running > 0;
  }

  abstract drained(): void;
  abstract closed(): void;
  abstract abort(reason: unknown): void;

  over(): void {
    return;
  }

  /** A call begins. Gives what to call when it has ended. */
  protected began(timeoutMs: number): () => void {
    this.#running++;
    const { deadlines } = this.parts;
    const call: Watched = {
      dueAt: monotonicMs() + timeoutMs,
      deadlineSlot: -1,
      expired: () => this.abort(new DOMException(`The call ran longer than ${timeoutMs} ms.`, 'TimeoutError')),
    };
    deadlines.add(call);
    return () => {
      deadlines.delete(call);
      this.#running--;
      this.called();
      this.settle();
    };
  }

  /** One of the calls has ended. */
  protected called(): void {
    return;
  }

  protected settle(): void {
    if (!this.over_ || this.#running > 0 || this.#done) return;
    this.#done = true;
    this.parts.invocation.end(this);
    this.parts.answering.ended();
  }

  protected resultHead(waiting: boolean, error: RpcFailure | null = null): RpcResultHead {
    return { kind: 'rpc-result', calledAt: this.calledAt, waiting, ...(error === null ? {} : { error }) };
  }
}

export type RpcFailure = NonNullable<RpcResultHead['error']>;

export const TIMED_OUT = 'No answer within its time.';

export function textOf(payload: Uint8Array): string {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString();
}

export function said(reason: unknown): string {
  return headline(describeThrown(reason)).slice(0, 500);
}
