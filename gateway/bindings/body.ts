/** Takes in the whole body of a call, within what is allowed for it and for all bodies together. */
import { HearthError } from '../../functions/contract/errors.ts';
import type { Exchange, ExchangeHandler, LinkError } from '../../pool/link/link.ts';

/** Bytes of bodies that modules may have in the gateway's memory at once: so many together, so many a trust group. */
export class BodyBudget {
  private readonly mostPerGroupBytes: number;
  private leftBytes: number;
  private readonly byGroup = new Map<string, number>();

  constructor(mostBytes: number, mostPerGroupBytes: number) {
    this.leftBytes = mostBytes;
    this.mostPerGroupBytes = mostPerGroupBytes;
  }

  /** False when there is no room. */
  take(trustGroup: string, bytes: number): boolean {
    const taken = (this.byGroup.get(trustGroup) ?? 0) + bytes;
    if (bytes > this.leftBytes || taken > this.mostPerGroupBytes) return false;
    this.leftBytes -= bytes;
    this.byGroup.set(trustGroup, taken);
    return true;
  }

  giveBack(trustGroup: string, bytes: number): void {
    const taken = (this.byGroup.get(trustGroup) ?? 0) - bytes;
    this.leftBytes += bytes;
    if (taken > 0) this.byGroup.set(trustGroup, taken);
    else this.byGroup.delete(trustGroup);
  }

  get freeBytes(): number {
    return this.leftBytes;
  }
}

/** Where the bodies of one module's calls go. */
export interface BodyRoom {
  budget: BodyBudget;
  trustGroup: string;
}

/** Hears a call that sends no body, or that was refused. */
export const NO_BODY: ExchangeHandler = {
  head: ignore,
  data: ignore,
  end: ignore,
  drain: ignore,
  closed: ignore,
};

/**
 * Calls `use` with the body once it is whole, and holds its room in the budget until `use` has ended. Rejects with
 * PAYLOAD_TOO_LARGE over `mostBytes`, with NO_CAPACITY when the budget is used up, and when the module goes away.
 */
export async function withBody<Result>(
  exchange: Exchange,
  mostBytes: number,
  room: BodyRoom,
  use: (body: Uint8Array) => Promise<Result>,
): Promise<Result> {
  const collector = new Collector(exchange, mostBytes, room);
  try {
    return await use(await collector.whole);
  } finally {
    collector.release();
  }
}

class Collector implements ExchangeHandler {
  readonly whole: Promise<Uint8Array>;
  private readonly exchange: Exchange;
  private readonly mostBytes: number;
  private readonly room: BodyRoom;
  private chunks: Uint8Array[] = [];
  private bytes = 0;
  private done = false;
  private resolve: (body: Uint8Array) => void = ignore;
  private reject: (error: HearthError) => void = ignore;

  constructor(exchange: Exchange, mostBytes: number, room: BodyRoom) {
    this.exchange = exchange;
    this.mostBytes = mostBytes;
    this.room = room;
    this.whole = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    exchange.handler = this;
  }

  head = ignore;
  drain = ignore;

  data(chunk: Uint8Array): void {
    this.exchange.consumed(chunk.byteLength);
    if (this.done) return;
    if (this.bytes + chunk.byteLength > this.mostBytes) {
      this.fail(new HearthError('PAYLOAD_TOO_LARGE', `The value is over ${this.mostBytes} bytes.`));
    } else if (!this.room.budget.take(this.room.trustGroup, chunk.byteLength)) {
      const message = 'The gateway has too many bodies of binding calls in memory.';
      this.fail(new HearthError('NO_CAPACITY', message, { retryAfterS: 1 }));
    } else {
      this.bytes += chunk.byteLength;
      this.chunks.push(chunk);
    }
  }

  end(): void {
    if (this.done) return;
    this.done = true;
    const chunks = this.chunks;
    this.chunks = [];
    this.resolve(Buffer.concat(chunks, this.bytes));
  }

  closed(error: LinkError | null): void {
    this.fail(new HearthError('INTERNAL', `The module went away: ${error?.message ?? 'its call was cut off'}.`));
  }

  release(): void {
    this.room.budget.giveBack(this.room.trustGroup, this.bytes);
    this.bytes = 0;
  }

  private fail(error: HearthError): void {
    if (this.done) return;
    this.done = true;
    this.chunks = [];
    this.reject(error);
  }
}

function ignore(): void {
  // Nothing to do with it.
}
