/** What `req.socket` is where there is no socket: no bytes, but addresses, and an end that both sides hear of. */
import { Duplex } from 'node:stream';

export class LinkSocket extends Duplex {
  readonly remoteAddress: string;
  readonly remoteFamily: 'IPv4' | 'IPv6';
  readonly remotePort = 0;
  readonly localAddress = '127.0.0.1';
  readonly localFamily = 'IPv4';
  readonly localPort = 0;
  readonly encrypted = false;
  readonly connecting = false;
  readonly pending = false;
  readonly bytesRead = 0;
  readonly bytesWritten = 0;
  timeout = 0;
  /** Called once, when it is destroyed from either side. */
  onDestroyed: ((error: Error | null) => void) | null = null;

  constructor(remoteAddress: string) {
    super({ allowHalfOpen: true });
    this.remoteAddress = remoteAddress;
    this.remoteFamily = remoteAddress.includes(':') ? 'IPv6' : 'IPv4';
  }

  get readyState(): string {
    return this.destroyed ? 'closed' : 'open';
  }

  address(): { address: string; family: string; port: number } {
    return { address: this.localAddress, family: this.localFamily, port: this.localPort };
  }

  /** Time is the gateway's to keep. */
  setTimeout(ms: number): this {
    this.timeout = ms;
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  destroySoon(): void {
    this.destroy();
  }

  override _read(): void {
    // Nothing is ever read from it: the request's body goes into the request itself.
  }

  override _write(_chunk: unknown, _encoding: string, callback: (error?: Error | null) => void): void {
    callback(new Error('Raw writes to the socket of a request are not possible here; write to the response.'));
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const tell = this.onDestroyed;
    this.onDestroyed = null;
    tell?.(error);
    // As with a client that went away: 'close' says it, an error would need a listener that no application has.
    callback(null);
  }
}
