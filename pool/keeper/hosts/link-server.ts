/** Where bases connect: one Unix socket in a directory that only the gateway's user can enter. */
import { once } from 'node:events';
import net from 'node:net';
import type { BodyGarbage } from '../../link/body-garbage.ts';
import { connectLink } from '../../link/connection.ts';
import { ProtocolViolation } from '../../link/frames.ts';
import type { Exchange, Link, LinkHandler } from '../../link/link.ts';
import type { Logger } from '../log.ts';
import { baseEvent } from '../validate.ts';
import type { Base } from './base.ts';

/** A connection that has not said who it is by then is ended. */
const HELLO_MS = 20_000;

export interface LinkServerOptions {
  socketPath: string;
  /** The base that waits for this token; each token is good for one connection. */
  claim(base: string, token: string): Base | undefined;
  attached(base: Base): void;
  log: Logger;
  garbage: BodyGarbage;
}

export async function listenForBases(options: LinkServerOptions): Promise<net.Server> {
  const server = net.createServer((socket) => new Incoming(socket, options));
  server.listen(options.socketPath);
  await once(server, 'listening');
  return server;
}

/** One connection: unknown until its hello, from then on the voice of one base. */
class Incoming implements LinkHandler {
  readonly #options: LinkServerOptions;
  readonly #link: Link;
  readonly #timer: NodeJS.Timeout;
  #base: Base | null = null;

  constructor(socket: net.Socket, options: LinkServerOptions) {
    this.#options = options;
    this.#link = connectLink(socket, this, { side: 'listen', flush: 'immediate', garbage: options.garbage });
    this.#timer = setTimeout(() => this.#link.destroy('no hello'), HELLO_MS);
  }

  opened(head: unknown, exchange: Exchange): void {
    const lessee = this.#base?.lessee;
    if (lessee === undefined || lessee === null) throw new ProtocolViolation('a stream before the lease');
    if (this.#base?.state === 'dead') {
      exchange.cancel({ code: 'FUNCTION_CRASHED', message: 'The instance has been retired.' });
      return;
    }
    lessee.opened(head, exchange);
  }

  event(message: unknown): void {
    const event = baseEvent(message);
    if (this.#base === null) {
      if (event.event !== 'hello') throw new ProtocolViolation('no hello');
      const base = this.#options.claim(event.base, event.token);
      if (base === undefined) throw new ProtocolViolation('unknown token');
      clearTimeout(this.#timer);
      base.attach(this.#link, event.protocol);
      this.#base = base;
      this.#options.attached(base);
      return;
    }
    if (event.event === 'hello') throw new ProtocolViolation('a second hello');
    // Before the lease only the rehearsal speaks: nobody listens.
    this.#base.lessee?.event(event);
  }

  closed(violation: string | null): void {
    clearTimeout(this.#timer);
    const base = this.#base;
    if (base === null) return;
    if (violation === null) {
      base.end('its link closed');
      return;
    }
    this.#options.log.error('a base broke the rules of the link: its host is killed', {
      base: base.id,
      host: base.host.id,
      violation,
    });
    base.host.kill(`link violation: ${violation}`, base.id);
  }
}
