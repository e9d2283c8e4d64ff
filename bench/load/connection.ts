/** One keep-alive HTTP/1.1 connection, one request at a time: as little as a generator can do and still read answers. */
import { connect, type Socket } from 'node:net';

export interface Answer {
  status: number;
  /** Names in lower case. */
  headers: Map<string, string>;
}

export class Connection {
  readonly #socket: Socket;
  #buffer: Buffer = Buffer.alloc(0);
  #pending: { resolve(answer: Answer): void; reject(error: Error): void } | null = null;
  readonly #host: string;

  constructor(port: number) {
    this.#host = `127.0.0.1:${port}`;
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  get(path: string): Promise<Answer> {
    if (this.#pending !== null) throw new Error('one request at a time');
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
      this.#socket.write(`GET ${path} HTTP/1.1\r\nhost: ${this.#host}\r\n\r\n`, 'latin1');
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #fail(error: Error): void {
    const pending = this.#pending;
    this.#pending = null;
    pending?.reject(error);
  }

  #receive(chunk: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    const answer = parseAnswer(this.#buffer);
    if (answer === null) return;
    this.#buffer = Buffer.alloc(0);
    const pending = this.#pending;
    this.#pending = null;
    pending?.resolve(answer);
  }
}

/** Null until the whole answer, body included, is there. Bodies are not kept. */
export function parseAnswer(bytes: Buffer): Answer | null {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd === -1) return null;
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, headEnd).split('\r\n');
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const bodyStart = headEnd + 4;
  const length = headers.get('content-length');
  const complete =
    length !== undefined
      ? bytes.length >= bodyStart + Number(length)
      : // Without a length the answer is chunked; what ends it can stand nowhere else in the short texts asked for here.
        bytes.subarray(bodyStart).toString('latin1').endsWith('0\r\n\r\n');
  return complete ? { status: Number(statusLine.slice(9, 12)), headers } : null;
}
