import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  type CloseMessage,
  encodeBytes,
  encodeClose,
  encodeText,
  MAX_MESSAGE_BYTES,
  MessageDecoder,
} from '../link/messages.ts';
import { type Call, TestBase } from './testing/harness.ts';

type Seen = string | Uint8Array | CloseMessage;

/** The client's side of an upgraded exchange. */
class Client {
  readonly call: Call;
  readonly #seen: Seen[] = [];
  readonly #waiters: (() => void)[] = [];
  readonly #decoder = new MessageDecoder({
    text: (payload) => this.#push(Buffer.from(payload).toString()),
    binary: (payload) => this.#push(new Uint8Array(payload)),
    close: (message) => this.#push(message),
  });

  constructor(call: Call) {
    this.call = call;
    const data = call.data.bind(call);
    call.data = (chunk) => {
      this.#decoder.push(new Uint8Array(chunk));
      data(chunk);
    };
  }

  async next(): Promise<Seen> {
    while (this.#seen.length === 0) await new Promise<void>((resolve) => this.#waiters.push(resolve));
    return this.#seen.shift() as Seen;
  }

  send(message: string | Uint8Array): void {
    this.call.exchange.write(typeof message === 'string' ? encodeText(message) : encodeBytes('binary', message));
  }

  close(code: number, reason: string): void {
    this.call.exchange.write(encodeClose(code, reason));
    this.call.exchange.end();
  }

  #push(seen: Seen): void {
    this.#seen.push(seen);
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}

describe('a WebSocket of a function', () => {
  let base: TestBase;
  before(async () => {
    base = await TestBase.start();
  });
  after(() => base[Symbol.asyncDispose]());

  let count = 0;
  /** Opens a WebSocket to a function whose server end is set up by this code. */
  async function open(setUp: string, response = 'new Response(null, { status: 101, webSocket: client })') {
    const module = `socket-${++count}`;
    await base.load(
      `module.exports = { async fetch(request, env, ctx) {
        const [client, server] = Object.values(new WebSocketPair());
        ${setUp}
        return ${response};
      } }`,
      { module },
    );
    return new Client(base.http('/', { module, upgrade: true, headers: [['upgrade', 'websocket']] }, null, false));
  }

  it('answers the upgrade with 101 and the headers it set', async () => {
    const client = await open(
      `server.accept();`,
      `new Response(null, { status: 101, webSocket: client, headers: { 'sec-websocket-protocol': 'chat' } })`,
    );
    const head = await client.call.answered.promise;
    assert.deepEqual([head.status, head.webSocket, head.waiting], [101, true, true]);
    assert.deepEqual(head.headers, [['sec-websocket-protocol', 'chat']]);
    client.close(1000, '');
    assert.equal(await client.call.ended.promise, null);
  });

  it('echoes text and bytes, also those sent before it has accepted and ones larger than the link credit', async () => {
    const client = await open(`setTimeout(() => {
      server.accept();
      server.addEventListener('message', (event) => server.send(typeof event.data === 'string' ? event.data + '!' : event.data));
    }, 5);`);
    client.send('early');
    assert.equal(await client.next(), 'early!');
    client.send(Uint8Array.of(0, 1, 255));
    assert.deepEqual(await client.next(), Uint8Array.of(0, 1, 255));
    const large = 'é'.repeat(1_000_000);
    client.send(large);
    assert.equal(await client.next(), `${large}!`);
    client.close(1000, '');
    assert.equal(await client.call.ended.promise, null);
  });

  it('hears the close of its client, with code and reason, and answers it', async () => {
    const client = await open(`server.accept();
      server.addEventListener('close', (event) => console.log(JSON.stringify(['closed', event.code, event.reason, event.wasClean, server.readyState])));`);
    await client.call.answered.promise;
    client.close(4002, 'bye ✓');
    assert.deepEqual(await client.next(), { code: 4002, reason: 'bye ✓' });
    const event = await base.event((it) => it.event === 'log' && it.lines[0]!.message.includes('closed'));
    assert.equal(event.event === 'log' && event.lines[0]!.message, '["closed",4002,"bye ✓",true,3]');
    assert.equal(await client.call.ended.promise, null);
  });

  it('closes with a code of its own and ends when the client has answered', async () => {
    const client = await open(`server.accept(); server.onclose = (event) => console.log('answered ' + event.code);
      server.onmessage = ({ data }) => { server.close(4100, data); try { server.send('late') } catch (error) { console.log(error.message) } };`);
    client.send('enough');
    assert.deepEqual(await client.next(), { code: 4100, reason: 'enough' });
    client.close(4100, 'enough');
    assert.equal(await client.call.ended.promise, null);
    await base.event((it) => it.event === 'log' && it.lines.some((line) => line.message.includes('after close()')));
    await base.event((it) => it.event === 'log' && it.lines.some((line) => line.message === 'answered 4100'));
  });

  it('hears that its client was lost: error, then close with 1006, and the signal is aborted', async () => {
    const client = await open(`server.accept(); const heard = [];
      for (const type of ['error', 'close']) server.addEventListener(type, (event) => {
        heard.push(type + ' ' + (event.code ?? ''));
        if (type === 'close') setImmediate(() => console.log('lost: ' + heard.join() + ' ' + ctx.signal.aborted));
      });`);
    await client.call.answered.promise;
    client.call.exchange.cancel({ code: 'ABORTED', message: 'client gone' });
    const event = await base.event((it) => it.event === 'log' && it.lines[0]!.message.startsWith('lost'));
    assert.equal(event.event === 'log' && event.lines[0]!.message, 'lost: error ,close 1006 true');
  });

  it('that sends without end to a client that does not read is given up', async () => {
    const client = await open(`server.accept(); server.onerror = () => console.log('given up');
      const chunk = new Uint8Array(1024 * 1024);
      setImmediate(() => { for (let i = 0; i < 40; i++) server.send(chunk) });`);
    client.call.consume = false;
    const error = await client.call.ended.promise;
    assert.equal(error?.code, 'FUNCTION_EXCEPTION');
    assert.match(error?.message ?? '', /does not read/);
    await base.event((it) => it.event === 'log' && it.lines.some((line) => line.message === 'given up'));
  });

  it('ends with an error when the framing is broken', async () => {
    const client = await open(`server.accept();`);
    await client.call.answered.promise;
    client.call.exchange.write(Uint8Array.of(0, 0, 0, 0, 99));
    assert.match((await client.call.ended.promise)?.message ?? '', /Unknown message kind 99/);
  });

  it('refuses what Workers refuse, with a sentence', async () => {
    const text = await base.evaluate(`(async () => {
      const said = [];
      const attempt = (f) => { try { f(); said.push('no error') } catch (error) { said.push(error.message) } };
      const [a, b] = Object.values(new WebSocketPair());
      attempt(() => a.send('x'));
      attempt(() => a.close());
      a.accept();
      attempt(() => a.close(999));
      attempt(() => a.close(1005));
      attempt(() => a.close(1000, 'x'.repeat(124)));
      attempt(() => a.close(undefined, 'why'));
      attempt(() => a.send('x'.repeat(${MAX_MESSAGE_BYTES + 1})));
      attempt(() => a.send(new Blob(['x'])));
      attempt(() => new Response(null, { status: 101 }));
      attempt(() => new Response('body', { status: 101, webSocket: b }));
      attempt(() => new Response(null, { status: 101, webSocket: {} }));
      attempt(() => new Response(null, { status: 102 }));
      const response = new Response(null, { status: 101, webSocket: b });
      said.push(response.status, response.ok, response.webSocket === b, response instanceof Response);
      return said.join('\\n');
    })()`);
    assert.deepEqual(text.split('\n'), [
      'Call accept() on this WebSocket before sending messages.',
      'Call accept() on this WebSocket before closing it.',
      'Invalid WebSocket close code: 999.',
      'Invalid WebSocket close code: 1005.',
      'A close reason is at most 123 bytes.',
      'If you specify a WebSocket close reason, you must also specify a code.',
      `A message of ${MAX_MESSAGE_BYTES + 1} bytes is over the limit of ${MAX_MESSAGE_BYTES}.`,
      'A Blob cannot be sent: read it into an ArrayBuffer first.',
      'A Response with status 101 needs webSocket: one end of a WebSocketPair.',
      'A Response with status 101 has no body.',
      'A Response with status 101 needs webSocket: one end of a WebSocketPair.',
      'init["status"] must be in the range of 200 to 599, inclusive.',
      '101',
      'false',
      'true',
      'true',
    ]);
  });

  it('joins the two ends of a pair that stays in the function', async () => {
    const text = await base.evaluate(`new Promise((resolve) => {
      const [a, b] = Object.values(new WebSocketPair());
      const said = [];
      a.accept(); b.accept();
      b.addEventListener('message', (event) => { said.push(event.data); b.send('back') });
      a.addEventListener('message', (event) => { said.push(event.data); a.close(3000, 'done') });
      b.addEventListener('close', (event) => said.push('b ' + event.code));
      a.addEventListener('close', (event) => { said.push('a ' + event.code + ' ' + event.reason); resolve(said.join()) });
      a.send('there'); said.push('sent');
    })`);
    assert.equal(text, 'sent,there,back,b 3000,a 3000 done');
  });

  it('answered to a request that asked for none is FUNCTION_EXCEPTION', async () => {
    await open(`server.accept();`);
    const error = await base.http('/', { module: `socket-${count}` }).ended.promise;
    assert.equal(error?.code, 'FUNCTION_EXCEPTION');
    assert.match(error?.message ?? '', /none was asked for/);
  });

  it('is not required: an upgrade may be answered like any request', async () => {
    const client = await open(`void server;`, `new Response('no', { status: 403 })`);
    const head = await client.call.answered.promise;
    assert.deepEqual([head.status, head.webSocket], [403, false]);
  });
});
