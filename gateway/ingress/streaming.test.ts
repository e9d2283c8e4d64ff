import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import { FACTS, type Scripted, startScripted } from './testing/scripted.ts';

const CHUNK = 64 * 1024;

function post(hearth: Scripted, headers: Record<string, string> = {}): ClientRequest {
  const req = request(`${hearth.url}/hello`, { method: 'POST', headers, agent: false });
  req.on('error', () => undefined);
  return req;
}

const answerTo = (req: ClientRequest) => once(req, 'response').then(([res]) => res as IncomingMessage);

describe('a request body', () => {
  it('reaches the function as it comes, and its end too', async () => {
    await using hearth = await startScripted(async (call) => {
      await call.until(() => call.body === 'one');
      call.head(200);
      call.sink.data(Buffer.from('got one, '));
      await call.until(() => call.bodyEnded);
      call.sink.data(Buffer.from(`then ${call.body}`));
      call.sink.end();
    });
    const req = post(hearth);
    req.write('one');
    const res = await answerTo(req);
    assert.equal(String((await once(res, 'data'))[0]), 'got one, ');
    req.end('two');
    assert.equal(await text(res), 'then onetwo');
    assert.equal(hearth.calls[0]?.request.hasBody, true);
  });

  it('ends at once where there is none', async () => {
    await using hearth = await startScripted((call) =>
      call.respond(200, [], `${call.request.hasBody} ${call.bodyEnded}`),
    );
    assert.equal(await (await fetch(`${hearth.url}/hello`)).text(), 'false true');
    assert.equal(await (await fetch(`${hearth.url}/hello`, { method: 'POST' })).text(), 'false true');
  });

  it('is held back in the client while the function does not take it', async () => {
    await using hearth = await startScripted(() => undefined, { config: { maxBodyBytes: 256 * 1024 * 1024 } });
    const req = post(hearth);
    const begun = hearth.next();
    req.write(Buffer.alloc(CHUNK));
    const call = await begun;
    call.highBytes = 1;
    await call.until(() => call.receivedBytes > 0);
    // More than all socket buffers together can hold.
    let written = 0;
    while (written < 64 * 1024 * 1024) {
      written += CHUNK;
      if (!req.write(Buffer.alloc(CHUNK)) && req.writableLength > 8 * 1024 * 1024) break;
    }
    // Answered by a turn of the gateway's loop after these bytes.
    assert.equal((await fetch(`${hearth.url}/nothing`)).status, 404);
    assert.ok(call.receivedBytes <= 2 * CHUNK, `${call.receivedBytes} bytes came through`);
    assert.ok(req.writableLength > 0, 'the client waits');
    call.highBytes = Number.POSITIVE_INFINITY;
    req.end();
    call.sink.drain();
    await call.until(() => call.bodyEnded);
    assert.equal(call.receivedBytes, written + CHUNK);
    call.respond(200);
    assert.equal((await answerTo(req)).statusCode, 200);
  });

  it('over its limit is refused by its declared length before anything is called', async () => {
    await using hearth = await startScripted(() => undefined, { config: { maxBodyBytes: 1000 } });
    const req = post(hearth, { 'content-length': '1001' });
    req.end('x'.repeat(1001));
    const res = await answerTo(req);
    assert.equal(res.statusCode, 413);
    const problem = JSON.parse(await text(res));
    assert.equal(problem.code, 'PAYLOAD_TOO_LARGE');
    assert.match(problem.detail, /HEARTH_MAX_BODY_MB/);
    assert.deepEqual(hearth.calls, []);
  });

  it('over its limit is refused by count where no length was declared, and the invocation is aborted', async () => {
    await using hearth = await startScripted(() => undefined, { config: { maxBodyBytes: 1000 } });
    const req = post(hearth);
    req.write('x'.repeat(999));
    const call = await hearth.next();
    await call.until(() => call.receivedBytes === 999);
    assert.equal(call.aborted, null);
    req.write('xx');
    const res = await answerTo(req);
    assert.equal(res.statusCode, 413);
    assert.equal(res.headers.connection, 'close');
    assert.equal(JSON.parse(await text(res)).code, 'PAYLOAD_TOO_LARGE');
    assert.equal(call.aborted, 'request body over its limit');
    assert.equal(call.receivedBytes, 999);
    req.destroy();
  });

  it('of exactly the limit passes', async () => {
    await using hearth = await startScripted(
      async (call) => {
        await call.until(() => call.bodyEnded);
        call.respond(200, [], String(call.receivedBytes));
      },
      { config: { maxBodyBytes: 1000 } },
    );
    const response = await fetch(`${hearth.url}/hello`, { method: 'POST', body: 'x'.repeat(1000) });
    assert.equal(await response.text(), '1000');
  });

  it('is asked for with 100-continue only where it is wanted', async () => {
    await using hearth = await startScripted(
      async (call) => {
        await call.until(() => call.bodyEnded);
        call.respond(200, [], call.body);
      },
      { config: { maxBodyBytes: 10 } },
    );
    const wanted = post(hearth, { expect: '100-continue', 'content-length': '4' });
    wanted.flushHeaders();
    await once(wanted, 'continue');
    wanted.end('body');
    assert.equal(await text(await answerTo(wanted)), 'body');

    const unwanted = post(hearth, { expect: '100-continue', 'content-length': '11' });
    unwanted.on('continue', () => assert.fail('asked for a body that is too large'));
    unwanted.flushHeaders();
    assert.equal((await answerTo(unwanted)).statusCode, 413);
    unwanted.destroy();
  });

  it('that nobody reads does not keep the client from its answer', async () => {
    await using hearth = await startScripted((call) => call.respond(401, [], 'who are you?'));
    const req = post(hearth);
    req.write('some of it');
    const res = await answerTo(req);
    assert.equal(res.statusCode, 401);
    assert.equal(await text(res), 'who are you?');
    const closed = once(req, 'close');
    req.end('and the rest');
    await closed;
  });
});

describe('an answer', () => {
  it('streams as the function writes it: server-sent events arrive one by one', async () => {
    await using hearth = await startScripted(() => undefined);
    const begun = hearth.next();
    const pending = fetch(`${hearth.url}/hello`);
    const call = await begun;
    call.head(200, [['content-type', 'text/event-stream']]);
    const response = await pending;
    assert.equal(response.headers.get('transfer-encoding'), 'chunked');
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    for (const event of ['data: 1\n\n', 'data: 2\n\n']) {
      call.sink.data(Buffer.from(event));
      assert.equal((await reader.read()).value, event);
    }
    call.sink.end();
    assert.equal((await reader.read()).done, true);
    assert.equal(call.consumedBytes, 18);
    assert.equal(call.aborted, null);
  });

  it('keeps a declared length, and is broken off when it does not hold to it', async () => {
    await using hearth = await startScripted((call) => {
      const [declared, ...sent] = new URL(call.request.url).searchParams.get('n')!.split(' ').map(Number);
      call.head(200, [['content-length', String(declared)]]);
      for (const bytes of sent) call.sink.data(Buffer.alloc(bytes));
      call.sink.end();
    });
    const ask = async (n: string) => {
      const response = await fetch(`${hearth.url}/hello?n=${n}`);
      return `${response.headers.get('content-length')} ${(await response.arrayBuffer()).byteLength}`;
    };
    assert.equal(await ask('10 4 6'), '10 10');
    await assert.rejects(ask('10 4 5'));
    await assert.rejects(ask('10 4 7'));
    // Whole in one piece, it is known better.
    assert.equal(await ask('10 4'), '4 4');
    assert.equal(hearth.lines.length, 2);
    assert.match(hearth.lines[0]!, /declared 10 bytes and sent 9/);
    assert.equal(hearth.calls[2]?.aborted, 'declared 10 bytes and sent more');
  });

  it('that breaks off after its head reaches the client as broken', async () => {
    await using hearth = await startScripted(async (call) => {
      call.head(200);
      call.sink.data(Buffer.from('half'));
      await new Promise((resolve) => setImmediate(resolve));
      call.sink.failed(new HearthError('FUNCTION_CRASHED', 'The base died.'), FACTS);
    });
    const response = await fetch(`${hearth.url}/hello`);
    assert.equal(response.status, 200);
    await assert.rejects(response.text());
  });

  it('that breaks off in the tick of its head is still a problem answer', async () => {
    await using hearth = await startScripted((call) => {
      call.head(200);
      call.sink.data(Buffer.from('half'));
      call.sink.failed(new HearthError('FUNCTION_CRASHED', 'The base died.'), FACTS);
    });
    assert.equal((await fetch(`${hearth.url}/hello`)).status, 502);
  });

  it('waits for a client that reads slowly, and what waits is bounded by what the base was given back', async () => {
    await using hearth = await startScripted(() => undefined);
    const socket = await hearth.connect();
    socket.pause();
    const begun = hearth.next();
    socket.write('GET /hello HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n');
    const call = await begun;
    call.head(200);
    // As the link does it: no more than 256 KiB that were not given back.
    const total = 32 * 1024 * 1024;
    let sent = 0;
    const send = () => {
      while (sent < total && sent - call.consumedBytes < 256 * 1024) {
        sent += CHUNK;
        call.sink.data(Buffer.alloc(CHUNK, 1));
      }
    };
    send();
    // The kernel takes what it takes; after that nothing is given back any more.
    for (let before = -1; before !== sent; ) {
      before = sent;
      assert.equal((await fetch(`${hearth.url}/nothing`)).status, 404);
      send();
    }
    assert.ok(sent < total, 'everything was taken though the client reads nothing');
    let received = 0;
    socket.on('data', (chunk: Buffer) => {
      received += chunk.byteLength;
    });
    socket.resume();
    while (sent < total) {
      const seen = call.consumedBytes;
      await call.until(() => call.consumedBytes > seen);
      send();
    }
    call.sink.end();
    await once(socket, 'close');
    assert.ok(received > total);
    assert.equal(call.consumedBytes, total);
  });

  it('is aborted when its client goes away: before the head, in the stream, and in the upload', async () => {
    await using hearth = await startScripted(() => undefined);
    for (const moment of ['waiting', 'streaming', 'uploading']) {
      const begun = hearth.next();
      const req = post(hearth);
      if (moment === 'uploading') req.write('x');
      else req.end();
      const call = await begun;
      if (moment === 'streaming') {
        call.head(200);
        call.sink.data(Buffer.from('x'));
        await answerTo(req);
      }
      req.destroy();
      await call.until(() => call.aborted !== null);
      assert.equal(call.aborted, 'client gone', moment);
    }
    // What comes late goes nowhere.
    for (const call of hearth.calls) call.sink.failed(new HearthError('FUNCTION_TIMEOUT', 'Late.'), FACTS);
    assert.equal((await fetch(`${hearth.url}/nothing`)).status, 404);
  });
});

describe('draining', () => {
  it('takes no new connections, finishes what runs, says close, and then ends', async () => {
    await using hearth = await startScripted(() => undefined);
    const begun = hearth.next();
    const pending = fetch(`${hearth.url}/hello`);
    const call = await begun;
    const drained = hearth.ingress.drain(60_000);
    await assert.rejects(fetch(`${hearth.url}/hello`));
    assert.equal(hearth.ingress.inFlight, 1);
    call.respond(200, [], 'finished');
    assert.equal(await (await pending).text(), 'finished');
    await drained;
    assert.equal(hearth.ingress.inFlight, 0);
    assert.equal(hearth.ingress.drain(1), hearth.ingress.drain(1));
  });

  it('ends what does not finish in time', async () => {
    await using hearth = await startScripted(() => undefined);
    const begun = hearth.next();
    const pending = fetch(`${hearth.url}/hello`);
    const call = await begun;
    const rejected = assert.rejects(pending);
    await hearth.ingress.drain(1);
    await rejected;
    await call.until(() => call.aborted !== null);
  });

  it('a port in use rejects listen', async () => {
    await using hearth = await startScripted(() => undefined);
    await assert.rejects(
      startScripted(() => undefined, { config: { port: hearth.port } }),
      { code: 'EADDRINUSE' },
    );
  });
});
