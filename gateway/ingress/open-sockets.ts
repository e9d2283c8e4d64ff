/** WebSockets that a server holds: their handshakes, their pings, and their end. What is said over them is the relays'. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { SocketRelay } from './relay.ts';

/** A client that answers no ping for so long is gone. */
const PING_INTERVAL_MS = 30_000;

export interface OpenSocketsOptions {
  mostMessageBytes: number;
  /** Which of the protocols that a client offers is spoken; false: none. */
  protocol(offered: Set<string>, request: IncomingMessage): string | false;
  /** Header lines of an answer of 101, before it is written. */
  headers?(lines: string[], request: IncomingMessage): void;
  /** Called once for each socket that was taken. */
  ended?(): void;
}

export interface OpenSockets {
  /** A request to upgrade, whatever comes of it. */
  take(socket: Duplex): void;
  /** Makes the handshake: `relay` is called at once, or not at all when it is refused after all. */
  accept(req: IncomingMessage, socket: Duplex, head: Buffer, relay: (webSocket: WebSocket) => SocketRelay): void;
  /** Asks all clients to go: 1001. */
  drain(): void;
  kill(): void;
}

export function createOpenSockets({ mostMessageBytes, protocol, headers, ended }: OpenSocketsOptions): OpenSockets {
  const relays = new Set<SocketRelay>();
  const sockets = new Set<Duplex>();
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: mostMessageBytes,
    handleProtocols: protocol,
  });
  if (headers !== undefined) server.on('headers', headers);
  const pings = setInterval(() => {
    for (const relay of relays) relay.ping();
  }, PING_INTERVAL_MS);
  pings.unref();

  return {
    take(socket) {
      sockets.add(socket);
      socket.on('error', ignore);
      socket.once('close', () => {
        sockets.delete(socket);
        ended?.();
      });
    },
    accept(req, socket, head, relayOf) {
      server.handleUpgrade(req, socket, head, (webSocket) => {
        const relay = relayOf(webSocket);
        relays.add(relay);
        webSocket.once('close', () => relays.delete(relay));
      });
    },
    drain() {
      for (const relay of relays) relay.goAway();
    },
    kill() {
      clearInterval(pings);
      for (const socket of sockets) socket.destroy();
    },
  };
}

function ignore(): void {
  // Its close follows, and says all there is to do.
}
