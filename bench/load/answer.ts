/** Reads one HTTP/1.1 answer after another from a connection's bytes, whatever pieces they come in. */

export interface Answer {
  status: number;
  /** Names in lower case. */
  headers: Map<string, string>;
  bodyBytes: number;
  /** Empty unless the reader was asked to keep bodies. */
  body: string;
}

/**
 *   head ──length──► body ──► (answer)
 *     └──chunked──► size ⇄ chunk
 *                     └── size 0 ──► last ──► (answer)
 */
type State = 'head' | 'body' | 'size' | 'chunk' | 'last';

const CRLF_BYTES = 2;

export class AnswerReader {
  readonly #keepBody: boolean;
  #state: State = 'head';
  /** Of a head or a size line that is not whole yet. */
  #rest: Buffer = Buffer.alloc(0);
  /** Bytes of the body, of the chunk with its line end, or of the end that are still to come. */
  #missing = 0;
  #status = 0;
  #headers = new Map<string, string>();
  #bodyBytes = 0;
  #kept: Buffer[] = [];

  constructor(keepBody = false) {
    this.#keepBody = keepBody;
  }

  /** Null until the whole answer, body included, is there. Throws on what is no HTTP, or has no end to be known. */
  push(piece: Buffer): Answer | null {
    let bytes = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    this.#rest = Buffer.alloc(0);
    for (;;) {
      if (this.#state === 'head' || this.#state === 'size') {
        const mark = this.#state === 'head' ? '\r\n\r\n' : '\r\n';
        const end = bytes.indexOf(mark);
        if (end === -1) {
          this.#rest = bytes;
          return null;
        }
        const text = bytes.toString('latin1', 0, end);
        bytes = bytes.subarray(end + mark.length);
        if (this.#state === 'head') this.#head(text);
        else this.#size(text);
        continue;
      }
      const taken = bytes.subarray(0, this.#missing);
      bytes = bytes.subarray(taken.length);
      if (this.#state !== 'last')
        this.#take(taken, this.#state === 'chunk' ? this.#missing - CRLF_BYTES : taken.length);
      this.#missing -= taken.length;
      if (this.#missing > 0) return null;
      if (this.#state === 'chunk') this.#state = 'size';
      else return this.#done();
    }
  }

  #head(text: string): void {
    const [statusLine = '', ...lines] = text.split('\r\n');
    if (!statusLine.startsWith('HTTP/1.1 ')) throw new Error(`no HTTP/1.1 answer: ${statusLine.slice(0, 80)}`);
    this.#status = Number(statusLine.slice(9, 12));
    this.#headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    const length = this.#headers.get('content-length');
    const empty = this.#status === 204 || this.#status === 304;
    if (length !== undefined || empty) {
      this.#state = 'body';
      this.#missing = empty ? 0 : Number(length);
    } else if (this.#headers.get('transfer-encoding') === 'chunked') {
      this.#state = 'size';
    } else {
      throw new Error('an answer without a length that is not chunked');
    }
  }

  #size(line: string): void {
    const size = Number.parseInt(line, 16);
    if (!(size >= 0)) throw new Error(`no chunk size: ${line.slice(0, 80)}`);
    this.#state = size === 0 ? 'last' : 'chunk';
    this.#missing = size + CRLF_BYTES;
  }

  /** `ofBody`: how many of them belong to the body; the line end behind a chunk does not. */
  #take(bytes: Buffer, ofBody: number): void {
    const counted = Math.max(0, Math.min(bytes.length, ofBody));
    this.#bodyBytes += counted;
    if (this.#keepBody && counted > 0) this.#kept.push(bytes.subarray(0, counted));
  }

  #done(): Answer {
    const answer = {
      status: this.#status,
      headers: this.#headers,
      bodyBytes: this.#bodyBytes,
      body: Buffer.concat(this.#kept).toString(),
    };
    this.#state = 'head';
    this.#bodyBytes = 0;
    this.#kept = [];
    return answer;
  }
}
