import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { WebSocket } from 'ws';
import { HearthError } from '../../functions/contract/errors.ts';
import { type CloseMessage, encodeBytes, encodeClose, encodeText, MessageDecoder } from '../../pool/link/messages.ts';
import { FACTS, type Scripted, type ScriptedCall, startScripted } from './testing/scripted.ts';

type Seen = string | Buffer | CloseMessage;

/** What a function's base does with its side of the exchange. */
class FunctionEnd {
  readonly seen: Seen[] = [];
  readonly #call: ScriptedCall;
  #taken = 0;
  readonly #decoder = new MessageDecoder({
    text: (payload) => this.seen.push(Buffer.from(payload).toString()),
    binary: (payload) => this.seen.push(Buffer.from(payload)),
    close: (message) => this.seen.push(message),
  });

  constructor(call: ScriptedCall) {
    this.#call = call;
  }

  send(chunk: Uint8Array): void {
    this.#call.sink.data(chunk);
  }

  async next(): Promise<Seen> {
    await this.#call.until(() => {
      for (; this.#taken < this.#call.received.length; this.#taken++) {
        this.#decoder.push(this.#call.received[this.#taken]!);
      }
      return this.seen.length > 0;
    });
    return this.seen.shift() as Seen;
  }
}

const accept = (call: ScriptedCall) => call.head(101, [['x-room', '7']], { webSocket: true });

async function open(hearth: Scripted, protocols: string[] = []): Promise<[WebSocket, FunctionEnd, ScriptedCall]> {
  const begun = hearth.next();
  const client = new WebSocket(`ws://127.0.0.1:${hearth.port}/hello/room?x=1`, protocols);
  await once(client, 'open');
  const call = await begun.catch(() => hearth.calls.at(-1) as ScriptedCall);
  return [client, new FunctionEnd(call), call];
}

const handshake = (more = '', key = 'dGhlIHNhbXBsZSBub25jZQ==', version = '13') =>
  `GET /hello HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: ${key}\r\n` +
  `sec-websocket-version: ${version}\r\n${more}\r\n`;

describe('a WebSocket', () => {
  it('is asked of the function as an upgrade, and opened with its headers and ours', async () => {
    await using hearth = await startScripted(accept);
    const begun = hearth.next();
    const client = new WebSocket(`ws://127.0.0.1:${hearth.port}/hello/room?x=1`);
    const [response] = await once(client, 'upgrade');
    const call = await begun;
    assert.equal(call.request.upgrade, true);
    assert.equal(call.request.hasBody, false);
    assert.equal(call.request.url, `http://127.0.0.1:${hearth.port}/room?x=1`);
    assert.equal(call.header('upgrade'), 'websocket');
    assert.equal(call.bodyEnded, false);
    assert.equal(response.headers['x-room'], '7');
    assert.equal(response.headers['hearth-invocation-id'], '0123456789abcdef');
    assert.equal(response.headers['hearth-start'], 'warm');
    client.terminate();
  });

  it('carries text and bytes both ways, small and large', async () => {
    await using hearth = await startScripted(accept);
    const [client, end, call] = await open(hearth);
    client.send('to the function');
    assert.equal(await end.next(), 'to the function');
    client.send(Buffer.of(0, 255));
    assert.deepEqual(await end.next(), Buffer.of(0, 255));
    const large = 'é'.repeat(2_000_000);
    client.send(large);
    assert.equal(await end.next(), large);

    const messages: [Buffer, boolean][] = [];
    const three = new Promise<void>((resolve) => {
      client.on('message', (data: Buffer, isBinary: boolean) => {
        if (messages.push([data, isBinary]) === 3) resolve();
      });
    });
    end.send(encodeText('to the client'));
    end.send(encodeBytes('binary', Buffer.of(1, 2)));
    const framed = encodeText(large);
    for (let at = 0; at < framed.byteLength; at += 65_536) end.send(framed.subarray(at, at + 65_536));
    await three;
    assert.deepEqual(
      messages.map(([data, isBinary]) => [isBinary ? data.toString('hex') : data.toString().slice(0, 13), isBinary]),
      [
        ['to the client', false],
        ['0102', true],
        ['é'.repeat(13), false],
      ],
    );
    assert.equal(messages[2]![0].byteLength, 4_000_000);
    const sent = 18 + 7 + framed.byteLength;
    await call.until(() => call.consumedBytes === sent);
    client.terminate();
  });

  it('passes the close of the client on, with code and reason', async () => {
    await using hearth = await startScripted(accept);
    const [client, end, call] = await open(hearth);
    client.close(4001, 'bye');
    assert.deepEqual(await end.next(), { code: 4001, reason: 'bye' });
    await call.until(() => call.bodyEnded);
    end.send(encodeClose(4001, 'bye'));
    call.sink.end();
    await once(client, 'close');
    assert.equal(call.aborted, null);
  });

  it('passes the close of the function on, and its answer back', async () => {
    await using hearth = await startScripted(accept);
    const [client, end, call] = await open(hearth);
    end.send(encodeClose(4100, 'enough'));
    const [code, reason] = await once(client, 'close');
    assert.deepEqual([code, String(reason)], [4100, 'enough']);
    assert.deepEqual(await end.next(), { code: 4100, reason: 'enough' });
    await call.until(() => call.bodyEnded);
  });

  it('closes with a code that may be sent, whatever the function says', async () => {
    await using hearth = await startScripted(accept);
    for (const [given, got] of [
      [1005, 1005],
      [1006, 1011],
      [1000, 1000],
      [99, 1011],
    ]) {
      const [client, end] = await open(hearth);
      end.send(encodeClose(given!, ''));
      assert.equal((await once(client, 'close'))[0], got, `for ${given}`);
    }
  });

  it('whose client vanishes aborts the invocation', async () => {
    await using hearth = await startScripted(accept);
    const [client, , call] = await open(hearth);
    client.terminate();
    await call.until(() => call.aborted !== null);
    assert.equal(call.aborted, 'client gone');
  });

  it('whose base dies is closed with 1011 and the code of the error', async () => {
    await using hearth = await startScripted(accept);
    const [client, , call] = await open(hearth);
    call.sink.failed(new HearthError('FUNCTION_CRASHED', 'The base died.'), FACTS);
    const [code, reason] = await once(client, 'close');
    assert.deepEqual([code, String(reason)], [1011, 'FUNCTION_CRASHED']);
  });

  it('whose function breaks the framing is closed with 1011', async () => {
    await using hearth = await startScripted(accept);
    const [client, , call] = await open(hearth);
    call.sink.data(Buffer.of(255, 255, 255, 255, 1));
    assert.equal((await once(client, 'close'))[0], 1011);
    assert.match(call.aborted ?? '', /over the limit/);
  });

  it('gets the sub-protocol that the function chose among those offered, and no other', async () => {
    for (const [chosen, got] of [
      ['chat', 'chat'],
      ['other', ''],
    ]) {
      await using hearth = await startScripted((call) =>
        call.head(101, [['sec-websocket-protocol', chosen!]], { webSocket: true }),
      );
      const begun = hearth.next();
      const client = new WebSocket(`ws://127.0.0.1:${hearth.port}/hello`, ['super', 'chat']);
      const call = await begun;
      assert.equal(call.header('sec-websocket-protocol'), 'super,chat');
      if (got === '') {
        // The client itself refuses a handshake that chose none of its own.
        const [error] = await once(client, 'error');
        assert.match(String(error), /subprotocol/);
      } else {
        await once(client, 'open');
        assert.equal(client.protocol, got);
        client.terminate();
      }
    }
  });

  it('makes a fast client wait for a slow function', async () => {
    await using hearth = await startScripted(accept);
    const [client, , call] = await open(hearth);
    call.highBytes = 1;
    const message = Buffer.alloc(64 * 1024);
    let sent = 0;
    for (; sent < 64 * 1024 * 1024 && client.bufferedAmount < 8 * 1024 * 1024; sent += message.byteLength) {
      client.send(message);
      if (sent % (1024 * 1024) === 0) await fetch(`${hearth.url}/nothing`);
    }
    assert.ok(client.bufferedAmount > 0, 'everything was taken');
    assert.ok(call.receivedBytes < 1024 * 1024, `${call.receivedBytes} bytes came through`);
    call.highBytes = Number.POSITIVE_INFINITY;
    call.sink.drain();
    const framed = (sent / message.byteLength) * (message.byteLength + 5);
    await call.until(() => call.receivedBytes === framed);
    client.terminate();
  });

  it('makes a fast function wait for a slow client', async () => {
    await using hearth = await startScripted(accept);
    const [client, end, call] = await open(hearth);
    client.pause();
    const message = encodeBytes('binary', Buffer.alloc(64 * 1024));
    const total = 64 * 1024 * 1024;
    let sent = 0;
    const send = () => {
      for (; sent < total && sent - call.consumedBytes < 256 * 1024; sent += message.byteLength) end.send(message);
    };
    send();
    for (let before = -1; before !== sent; ) {
      before = sent;
      await fetch(`${hearth.url}/nothing`);
      send();
    }
    assert.ok(sent < total, 'everything was taken though the client reads nothing');
    client.resume();
    while (sent < total) {
      const seen = call.consumedBytes;
      await call.until(() => call.consumedBytes > seen);
      send();
    }
    client.terminate();
  });

  it('is asked to go with 1001 when the gateway drains', async () => {
    await using hearth = await startScripted(accept);
    const [client, end] = await open(hearth);
    const closed = once(client, 'close');
    const drained = hearth.ingress.drain(60_000);
    assert.equal((await closed)[0], 1001);
    assert.equal(((await end.next()) as CloseMessage).code, 1001);
    await drained;
  });
});

describe('an upgrade request', () => {
  it('that the function does not accept gets its answer as plain HTTP', async () => {
    await using hearth = await startScripted((call) => call.respond(403, [['x-why', 'no']], 'not for you'));
    const answer = await hearth.raw(handshake());
    assert.match(answer, /^HTTP\/1\.1 403 Forbidden\r\n/);
    assert.match(answer, /x-why: no\r\n/);
    assert.match(answer, /connection: close\r\n/i);
    assert.match(answer, /\r\n\r\nnot for you$/);
  });

  it('that fails gets its problem', async () => {
    await using hearth = await startScripted((call) => {
      call.sink.failed(new HearthError('NO_CAPACITY', 'Full.', { retryAfterS: 1 }), null);
    });
    const answer = await hearth.raw(handshake());
    assert.match(answer, /^HTTP\/1\.1 503 /);
    assert.match(answer, /"code":"NO_CAPACITY"/);
  });

  it('to nowhere, or not valid, is answered without calling anything', async () => {
    await using hearth = await startScripted(() => undefined);
    assert.match(await hearth.raw(handshake().replace('/hello', '/nothing')), /^HTTP\/1\.1 404 [\s\S]*NO_ROUTE/);
    assert.match(await hearth.raw(handshake('', 'short')), /^HTTP\/1\.1 400 [\s\S]*Sec-WebSocket-Key/);
    assert.match(await hearth.raw(handshake('', undefined, '8')), /^HTTP\/1\.1 426 [\s\S]*sec-websocket-version: 13/);
    assert.match(await hearth.raw(handshake().replace('GET', 'POST')), /^HTTP\/1\.1 400 [\s\S]*opened with GET/);
    assert.deepEqual(hearth.calls, []);
  });

  it('whose client goes away before the answer aborts the invocation', async () => {
    await using hearth = await startScripted(() => undefined);
    const socket = await hearth.connect();
    const begun = hearth.next();
    socket.write(handshake());
    const call = await begun;
    socket.destroy();
    await call.until(() => call.aborted !== null);
    // Too late: there is no one to relay to.
    accept(call);
    call.sink.data(encodeText('x'));
    assert.equal(call.consumedBytes, 6);
  });

  it('may bring its first message with it', async () => {
    await using hearth = await startScripted(accept);
    const begun = hearth.next();
    const socket = await hearth.connect();
    // A masked text frame "hi" with a mask of zeros, in the packet of the handshake.
    socket.write(Buffer.concat([Buffer.from(handshake()), Buffer.of(0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69)]));
    const end = new FunctionEnd(await begun);
    assert.equal(await end.next(), 'hi');
    socket.destroy();
  });
});
