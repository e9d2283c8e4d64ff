import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { BodyGarbage } from './body-garbage.ts';
import { connectLink, LINK_CLOSED } from './connection.ts';
import { ProtocolViolation } from './frames.ts';
import type { Exchange, ExchangeHandler, Link, LinkError, LinkHandler } from './link.ts';
import { CONNECTION_CREDIT } from './outgoing.ts';
import { STREAM_CREDIT } from './stream.ts';

interface Opened {
  head: unknown;
  exchange: Exchange;
}

/** One end that notes what it hears. */
class End implements LinkHandler {
  readonly events: unknown[] = [];
  onOpened: (opened: Opened) => void = () => undefined;
  onEvent: (message: unknown) => void = (message) => this.events.push(message);
  readonly ended = Promise.withResolvers<string | null>();

  opened(head: unknown, exchange: Exchange): void {
    this.onOpened({ head, exchange });
  }
  event(message: unknown): void {
    this.onEvent(message);
  }
  closed(violation: string | null): void {
    this.ended.resolve(violation);
  }
}

/** Notes what one exchange tells, and consumes at once unless told not to. */
class Notes implements ExchangeHandler {
  heads: unknown[] = [];
  bytes = 0;
  chunks: Uint8Array[] = [];
  drains = 0;
  ends = 0;
  exchange: Exchange | null = null;
  consume = true;
  onDrain: () => void = () => undefined;
  onData: () => void = () => undefined;
  readonly done = Promise.withResolvers<LinkError | null>();

  head(head: unknown): void {
    this.heads.push(head);
  }
  data(chunk: Uint8Array): void {
    this.bytes += chunk.length;
    this.chunks.push(chunk);
    if (this.consume) this.exchange?.consumed(chunk.length);
    this.onData();
  }
  end(): void {
    this.ends++;
  }
  drain(): void {
    this.drains++;
    this.onDrain();
  }
  closed(error: LinkError | null): void {
    this.done.resolve(error);
  }
  text(): string {
    return Buffer.concat(this.chunks).toString();
  }
}

async function pair(
  t: TestContext,
  garbage?: BodyGarbage,
): Promise<{ a: Link; b: Link; left: End; right: End; raw: net.Socket }> {
  const file = path.join(os.tmpdir(), `link-${randomUUID()}.sock`);
  const server = net.createServer().listen(file);
  await once(server, 'listening');
  const raw = net.connect(file);
  const [accepted] = (await once(server, 'connection')) as [net.Socket];
  t.after(() => {
    raw.destroy();
    accepted.destroy();
    server.close();
    rmSync(file, { force: true });
  });
  const left = new End();
  const right = new End();
  const a = connectLink(accepted, left, {
    side: 'listen',
    flush: 'immediate',
    ...(garbage === undefined ? {} : { garbage }),
  });
  const b = connectLink(raw, right, { side: 'connect', flush: 'tick' });
  return { a, b, left, right, raw };
}

test('a request with a small body is answered by one head with its body', async (t) => {
  const { a, right } = await pair(t);
  right.onOpened = ({ head, exchange }) => {
    const notes = new Notes();
    notes.exchange = exchange;
    exchange.handler = notes;
    notes.done.promise.then((error) => assert.equal(error, null));
    assert.deepEqual(head, { hello: 'wörld' });
    exchange.sendHead({ status: 200 }, Buffer.from('answer'), true);
  };
  const notes = new Notes();
  notes.exchange = a.open({ hello: 'wörld' }, notes, Buffer.from('question'), true);
  assert.equal(await notes.done.promise, null);
  assert.deepEqual(notes.heads, [{ status: 200 }]);
  assert.equal(notes.text(), 'answer');
  assert.equal(a.exchanges, 0);
});

test('bodies of any size arrive whole and in order, both ways at once on many streams', async (t) => {
  const { a, b, left, right } = await pair(t);
  const sizes = [0, 1, 8192, 8193, 65_535, 65_536, 65_537, STREAM_CREDIT, STREAM_CREDIT + 1, 3_000_000];
  const echo = ({ exchange }: Opened) => {
    const notes = new Notes();
    notes.consume = false;
    exchange.handler = notes;
    exchange.sendHead({ echo: true });
    const waiting: Uint8Array[] = [];
    let full = false;
    const go = () => {
      while (!full && waiting.length > 0) {
        const chunk = waiting.shift() as Uint8Array;
        full = !exchange.write(chunk);
        exchange.consumed(chunk.length);
      }
      if (notes.ends === 1 && waiting.length === 0) exchange.end();
    };
    notes.data = (chunk) => {
      waiting.push(chunk);
      go();
    };
    notes.end = () => {
      notes.ends = 1;
      go();
    };
    notes.onDrain = () => {
      full = false;
      go();
    };
  };
  left.onOpened = echo;
  right.onOpened = echo;
  const runs = [a, b].flatMap((link) =>
    sizes.map(async (size) => {
      const body = randomBytes(size);
      const notes = new Notes();
      const exchange = link.open({ size }, notes);
      notes.exchange = exchange;
      for (let at = 0; at < size; at += 50_000) exchange.write(Buffer.from(body.subarray(at, at + 50_000)));
      exchange.end();
      assert.equal(await notes.done.promise, null);
      assert.ok(Buffer.concat(notes.chunks).equals(body), `${size} bytes`);
    }),
  );
  await Promise.all(runs);
});

test('a receiver that consumes nothing holds the sender at its credit, and drain comes once it consumes', async (t) => {
  const { a, right } = await pair(t);
  const opened = Promise.withResolvers<Exchange>();
  const slow = new Notes();
  slow.consume = false;
  const filled = Promise.withResolvers<void>();
  slow.onData = () => {
    if (slow.bytes === STREAM_CREDIT) filled.resolve();
  };
  right.onOpened = ({ exchange }) => {
    exchange.handler = slow;
    opened.resolve(exchange);
  };
  const notes = new Notes();
  const drained = Promise.withResolvers<void>();
  notes.onDrain = () => drained.resolve();
  const exchange = a.open({}, notes);
  let written = 0;
  while (exchange.write(Buffer.alloc(32_768))) written += 32_768;
  assert.equal(written, STREAM_CREDIT);
  const answerer = await opened.promise;
  await filled.promise;
  await a.ping();
  assert.equal(slow.bytes, STREAM_CREDIT, 'nothing over the credit was sent');
  answerer.consumed(STREAM_CREDIT);
  await drained.promise;
  await a.ping();
  assert.equal(slow.bytes, STREAM_CREDIT + 32_768);
});

test('streams that break off give their credit back to the connection', async (t) => {
  const { a, right } = await pair(t);
  right.onOpened = ({ exchange }) => {
    exchange.handler = new Notes();
  };
  for (let round = 0; round < (CONNECTION_CREDIT / STREAM_CREDIT) * 3; round++) {
    const exchange = a.open({}, new Notes());
    exchange.write(Buffer.alloc(65_536));
    exchange.write(Buffer.alloc(65_536));
    await a.ping();
    exchange.cancel({ code: 'ENOUGH', message: '' });
  }
  await a.ping();
  const last = new Notes();
  const got = Promise.withResolvers<void>();
  right.onOpened = ({ exchange }) => {
    const notes = new Notes();
    notes.onData = () => got.resolve();
    exchange.handler = notes;
  };
  a.open({}, last, Buffer.from('still'), false);
  await got.promise;
});

test('cancel ends both sides with its code, and late frames of that stream are ignored', async (t) => {
  const { a, right } = await pair(t);
  const notes = new Notes();
  const other = new Notes();
  right.onOpened = ({ exchange }) => {
    exchange.handler = other;
    exchange.sendHead({ ok: true });
    exchange.write(Buffer.from('late'));
  };
  const exchange = a.open({}, notes);
  exchange.cancel({ code: 'GONE', message: 'client gone' });
  assert.deepEqual(await notes.done.promise, { code: 'GONE', message: 'client gone' });
  assert.equal((await other.done.promise)?.code, 'GONE');
  await a.ping();
  assert.deepEqual(notes.heads, []);
});

test('a connection that ends fails each of its exchanges, pings and later calls', async (t) => {
  const { a, b, left, right } = await pair(t);
  right.onOpened = () => b.destroy('test');
  const notes = new Notes();
  a.open({}, notes);
  assert.equal((await notes.done.promise)?.code, LINK_CLOSED);
  assert.equal(await left.ended.promise, null);
  await assert.rejects(a.ping());
  const after = new Notes();
  a.open({}, after);
  assert.equal((await after.done.promise)?.code, LINK_CLOSED);
});

test('an exchange whose head is too large ends at once, and leaves nothing behind', async (t) => {
  const { a, right } = await pair(t);
  const opened: unknown[] = [];
  right.onOpened = ({ head, exchange }) => {
    exchange.handler = new Notes();
    opened.push(head);
    exchange.sendHead({}, null, true);
  };
  const refused = new Notes();
  const exchange = a.open({ path: 'x'.repeat(600_000) }, refused, Buffer.from('body'));
  assert.equal((await refused.done.promise)?.code, 'PAYLOAD_TOO_LARGE');
  exchange.write(Buffer.from('more'));
  exchange.end();
  exchange.cancel({ code: 'CANCELLED', message: 'test' });
  assert.equal(a.exchanges, 0);
  const notes = new Notes();
  a.open({ small: true }, notes, null, true);
  assert.equal(await notes.done.promise, null);
  assert.deepEqual(opened, [{ small: true }], 'the other side has heard of the second alone');
});

test('an event that is flushed leaves before the loop is blocked', async (t) => {
  const { a, b, left, right } = await pair(t);
  const heard = Promise.withResolvers<unknown>();
  left.onEvent = (message) => heard.resolve(message);
  right.onOpened = () => {
    b.event({ started: 1 });
    b.flush();
    b.destroy('as if the loop never came back');
  };
  a.open({}, new Notes(), null, true);
  assert.deepEqual(await heard.promise, { started: 1 });
});

const frame = (type: number, stream: number, payload: Buffer) => {
  const bytes = Buffer.alloc(9 + payload.length);
  bytes.writeUInt32BE(5 + payload.length, 0);
  bytes[4] = type;
  bytes.writeUInt32BE(stream, 5);
  payload.copy(bytes, 9);
  return bytes;
};
const withHead = (head: string, body = '') => {
  const bytes = Buffer.alloc(4 + head.length + body.length);
  bytes.writeUInt32BE(head.length, 0);
  bytes.write(head + body, 4);
  return bytes;
};

const hostile: Record<string, Buffer> = {
  'a length over the limit': Buffer.from([0xff, 0xff, 0xff, 0xff, 1]),
  'a length under the header': Buffer.from([0, 0, 0, 1, 1]),
  'an unknown type': frame(99, 1, Buffer.alloc(0)),
  'data for a stream never opened': frame(3, 7, Buffer.from('x')),
  'an opening with the wrong parity': frame(1, 2, withHead('{}')),
  'an opening of a stream twice': Buffer.concat([frame(1, 1, withHead('{}')), frame(1, 1, withHead('{}'))]),
  'a head that is not JSON': frame(1, 1, withHead('{')),
  'a head that is too deep': frame(1, 1, withHead(`${'['.repeat(20_000)}${']'.repeat(20_000)}`)),
  'a head cut short': frame(1, 1, Buffer.from([0, 0, 0, 9, 1])),
  'an event that is not JSON': frame(6, 0, Buffer.from('nope')),
  'a pong nobody asked for': frame(8, 0, Buffer.alloc(4)),
  'credit over the limit': frame(5, 0, Buffer.from([0xff, 0xff, 0xff, 0xff])),
  'data after the end': Buffer.concat([frame(0x81, 1, withHead('{}')), frame(3, 1, Buffer.from('x'))]),
  'an answering head from the opener': Buffer.concat([frame(1, 1, withHead('{}')), frame(2, 1, withHead('{}'))]),
  'data over the credit': Buffer.concat([
    frame(1, 1, withHead('{}')),
    ...Array.from({ length: 5 }, () => frame(3, 1, Buffer.alloc(65_000))),
  ]),
};

for (const [name, bytes] of Object.entries(hostile)) {
  test(`${name} ends the connection as a violation`, async (t) => {
    const { left, raw } = await pair(t);
    left.onOpened = ({ exchange }) => {
      exchange.handler = new Notes();
    };
    raw.write(bytes);
    assert.equal(typeof (await left.ended.promise), 'string');
  });
}

test('a handler that finds a head against the rules ends the connection', async (t) => {
  const { left, b } = await pair(t);
  left.onOpened = () => {
    throw new ProtocolViolation('no such kind');
  };
  b.open({ kind: 'nonsense' }, new Notes());
  assert.equal(await left.ended.promise, 'no such kind');
});

test('heads and messages come whole, and bodies piece by piece in their order, from chunks cut anywhere', async () => {
  const { FrameReader } = await import('./frames.ts');
  const head = Buffer.from('{"a":1}');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(head.length);
  const all = Buffer.concat([
    frame(0x81, 1, Buffer.concat([length, head, Buffer.from('first body')])),
    frame(6, 0, Buffer.from('{"event":1}')),
    frame(3, 3, Buffer.from('one ')),
    frame(0x83, 5, Buffer.alloc(0)),
    frame(0x83, 3, Buffer.from('and two')),
    frame(2, 7, Buffer.concat([length, head])),
  ]);
  for (let size = 1; size <= all.length; size++) {
    const bodies = new Map<number, string>();
    const whole: string[] = [];
    const ends: number[] = [];
    const reader = new FrameReader((type, fin, stream, payload) => {
      let text = payload.toString();
      if (type === 1 || type === 2) {
        whole.push(`${type} ${payload.subarray(4, 4 + head.length)}`);
        text = payload.subarray(4 + head.length).toString();
      } else if (type !== 3) {
        whole.push(`${type} ${text}`);
        text = '';
      }
      assert.ok(!ends.includes(stream) || stream === 0);
      if (stream !== 0) bodies.set(stream, (bodies.get(stream) ?? '') + text);
      if (fin) ends.push(stream);
    });
    for (let at = 0; at < all.length; at += size) reader.push(all.subarray(at, at + size));
    const why = `chunks of ${size}`;
    assert.deepEqual(whole, ['1 {"a":1}', '6 {"event":1}', '2 {"a":1}'], why);
    assert.deepEqual(Object.fromEntries(bodies), { 1: 'first body', 3: 'one and two', 5: '', 7: '' }, why);
    assert.deepEqual(ends, [1, 5, 3], why);
  }
});

test('a ping is answered while megabytes of bodies wait for the other side to read', async (t) => {
  const { a, b, left, raw } = await pair(t);
  const body = Buffer.alloc(64 * 1024);
  // The other side has stopped reading, as a base does that computes.
  raw.pause();
  const streams = Array.from({ length: 48 }, () => new Notes());
  for (const notes of streams) notes.exchange = a.open({}, notes, body, true);
  const pinged = b.ping();
  await new Promise((resolve) => setImmediate(resolve));
  raw.resume();
  await pinged;
  const ended = await Promise.race([left.ended.promise, a.ping().then(() => 'alive')]);
  assert.equal(ended, 'alive');
});

test('bodies that pass are told to who collects garbage, in both directions', async (t) => {
  let collected = 0;
  const garbage = new BodyGarbage(() => {
    collected++;
  });
  const { a, right } = await pair(t, garbage);
  right.onOpened = ({ exchange }) => {
    const notes = new Notes();
    notes.exchange = exchange;
    notes.end = () => exchange.sendHead({}, Buffer.alloc(64 * 1024), true);
    exchange.handler = notes;
  };
  for (let n = 0; n < 128; n++) {
    const notes = new Notes();
    notes.exchange = a.open({}, notes, Buffer.alloc(64 * 1024), true);
    assert.equal(await notes.done.promise, null);
  }
  assert.equal(collected, 1);
});
