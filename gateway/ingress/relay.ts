/** Messages between a client's WebSocket and the bytes of an invocation, with backpressure both ways. */
import type { RawData, WebSocket } from 'ws';
import type { HearthError } from '../../functions/contract/errors.ts';
import { encodeBytes, encodeClose, MessageDecoder, MessageError } from '../../pool/link/messages.ts';
import type { Dispatched } from '../triggers/dispatcher.ts';

/** Bytes on their way to a slow client before the function is made to wait. */
const HIGH_BYTES = 1024 * 1024;

export class SocketRelay {
  readonly #webSocket: WebSocket;
  readonly #handle: Dispatched;
  readonly #decoder: MessageDecoder;
  #alive = true;
  /** Received from the function and not yet given back. */
  #unconsumed = 0;
  #functionDone = false;

  constructor(webSocket: WebSocket, handle: Dispatched) {
    this.#webSocket = webSocket;
    this.#handle = handle;
    this.#decoder = new MessageDecoder({
      text: (payload) => this.#send(payload, false),
      binary: (payload) => this.#send(payload, true),
      close: ({ code, reason }) => this.#close(code, reason),
    });
    webSocket.on('message', (data: RawData, isBinary: boolean) => {
      // With the default binaryType a message is one Buffer.
      if (!this.#handle.write(encodeBytes(isBinary ? 'binary' : 'text', data as Buffer))) webSocket.pause();
    });
    webSocket.on('pong', () => {
      this.#alive = true;
    });
    webSocket.on('error', () => {
      // 'close' follows with the code.
    });
    webSocket.on('close', (code, reason) => {
      if (this.#functionDone) return;
      if (code === 1006) {
        this.#functionDone = true;
        this.#handle.abort('client gone');
        return;
      }
      this.#handle.write(encodeClose(code, reason.toString()));
      this.#handle.end();
    });
  }

  fromFunction(chunk: Uint8Array): void {
    this.#unconsumed += chunk.byteLength;
    try {
      this.#decoder.push(chunk);
    } catch (error) {
      if (!(error instanceof MessageError)) throw error;
      this.#functionDone = true;
      this.#handle.abort(error.message);
      this.#end(1011, 'The function broke the framing.');
      return;
    }
    this.#giveBack();
  }

  functionEnded(): void {
    this.#functionDone = true;
    // Without a close message of its own: closed without a code.
    if (this.#webSocket.readyState === this.#webSocket.OPEN) this.#end();
  }

  functionFailed(error: HearthError): void {
    this.#functionDone = true;
    this.#end(1011, error.code);
  }

  mayWrite(): void {
    this.#webSocket.resume();
  }

  /** Ends a client that has not answered since the last time. */
  ping(): void {
    if (!this.#alive) {
      this.#webSocket.terminate();
      return;
    }
    this.#alive = false;
    // A paused socket reads no pong: the function is slow then, not the client.
    if (this.#webSocket.isPaused) this.#alive = true;
    else this.#webSocket.ping();
  }

  goAway(): void {
    this.#end(1001, 'Hearth is going away.');
  }

  #send(payload: Uint8Array, binary: boolean): void {
    if (this.#webSocket.readyState === this.#webSocket.OPEN) this.#webSocket.send(payload, { binary }, this.#onSent);
  }

  readonly #onSent = (): void => this.#giveBack();

  #giveBack(): void {
    if (this.#unconsumed === 0 || this.#webSocket.bufferedAmount > HIGH_BYTES) return;
    const bytes = this.#unconsumed;
    this.#unconsumed = 0;
    this.#handle.consumed(bytes);
  }

  #close(code: number, reason: string): void {
    if (code === 1005) this.#end();
    else this.#end(isSendable(code) ? code : 1011, reason);
  }

  /** The client's own close has to be read, even where it was made to wait with what it sends. */
  #end(code?: number, reason?: string): void {
    this.#webSocket.close(code, reason);
    this.#webSocket.resume();
  }
}

/** Close codes that may stand in a frame (RFC 6455, 7.4). */
function isSendable(code: number): boolean {
  return (
    (code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006) || (code >= 3000 && code <= 4999)
  );
}
