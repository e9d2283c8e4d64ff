/** One keep-alive HTTP/1.1 connection, one request at a time: as little as a generator can do and still read answers. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type Answer, AnswerReader } from './answer.ts';

export interface Ask {
  method: string;
  path: string;
  headers?: Record<string, string>;
  body?: Uint8Array | string;
}

export class Connection {
  readonly #socket: Socket;
  readonly #reader: AnswerReader;
  readonly #host: string;
  #pending: { resolve(answer: Answer): void; reject(error: Error): void } | null = null;
  #ended: Error | null = null;

  constructor(port: number, options: { keepBody?: boolean } = {}) {
    this.#host = `127.0.0.1:${port}`;
    this.#reader = new AnswerReader(options.keepBody);
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  /** Resolves when the connection stands, so that opening it is no part of the first request. */
  async opened(): Promise<this> {
    if (this.#socket.connecting) await once(this.#socket, 'connect');
    return this;
  }

  get(path: string): Promise<Answer> {
    return this.request({ method: 'GET', path });
  }

  request({ method, path, headers = {}, body }: Ask): Promise<Answer> {
    if (this.#pending !== null) throw new Error('one request at a time');
    if (this.#ended !== null) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
      const length = body === undefined ? '' : `content-length: ${Buffer.byteLength(body)}\r\n`;
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      const head = `${method} ${path} HTTP/1.1\r\nhost: ${this.#host}\r\n${length}${lines.join('')}\r\n`;
      // Head and body leave in one write where they are small.
      this.#socket.cork();
      this.#socket.write(head, 'latin1');
      if (body !== undefined) this.#socket.write(body);
      this.#socket.uncork();
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #fail(error: Error): void {
    this.#ended ??= error;
    const pending = this.#pending;
    this.#pending = null;
    pending?.reject(error);
  }

  #receive(chunk: Buffer): void {
    let answer: Answer | null;
    try {
      answer = this.#reader.push(chunk);
    } catch (error) {
      this.#fail(error as Error);
      this.close();
      return;
    }
    if (answer === null) return;
    const pending = this.#pending;
    this.#pending = null;
    pending?.resolve(answer);
  }
}
