import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Rig, startRig } from './testing/rig.ts';

/** Takes the link's own socket when the base next writes, as nothing keeps a function from doing, and speaks on it. */
const TAKE_LINK = `
  const { Duplex } = require('stream'), { Socket } = require('net'), real = Duplex.prototype.write;
  const link = await new Promise((resolve) => {
    Duplex.prototype.write = function (...args) {
      if (this instanceof Socket) { Duplex.prototype.write = real; resolve(this) }
      return real.apply(this, args);
    };
    console.log('to the link');
  });
  const say = (type, stream, ...parts) => {
    const payload = Buffer.concat(parts.map((part) => Buffer.from(part)));
    const head = Buffer.alloc(9);
    head.writeUInt32BE(5 + payload.length, 0); head[4] = type; head.writeUInt32BE(stream, 5);
    return link.write(Buffer.concat([head, payload]));
  };
  const json = (value) => { const text = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)); const length = Buffer.alloc(4); length.writeUInt32BE(text.length); return [length, text] };
  const [OPEN, HEAD, DATA, CANCEL, CREDIT, EVENT, PING, PONG] = [1, 2, 3, 4, 5, 6, 7, 8];
  const event = (value) => say(EVENT, 0, typeof value === 'string' ? value : JSON.stringify(value));
  const line = { time: Date.now(), level: 'info', module: 'main', message: 'x', invocationId: null };
  const answer = { kind: 'response', status: 200, statusText: '', headers: [], webSocket: false, calledAt: 1, waiting: false };
  const binding = { kind: 'binding', module: 'main', binding: 'KV', invocationId: null, call: { op: 'kv.get', key: 'k' } };
  // Streams of the gateway are even and go up; what is said on those that have ended is ignored, so one of these is ours.
  const answerAll = (head) => { for (let stream = 2; stream < 600; stream += 2) say(HEAD | 0x80, stream, ...json(head)) };
`;

/** The rest of the call lives on only where the gateway let the frame pass. */
const forged: [what: string, code: string][] = [
  ['bytes that are no frame', "link.write('GET / HTTP/1.1\\r\\n\\r\\n')"],
  ['a length of 4 GB', 'link.write(Buffer.from([255, 255, 255, 255, 6]))'],
  ['an unknown type', "say(99, 0, 'x')"],
  ['an event that is not JSON', "event('{')"],
  ['an event that is null', "event('null')"],
  ['an event of another kind', "event({ event: 'lease' })"],
  ['a second hello', "event({ event: 'hello', protocol: 1, base: 'x', token: 'x' })"],
  ['a log line in the year 10^300', "event({ event: 'log', lines: [{ ...line, time: 1e300 }], dropped: 0 })"],
  ['a log line of level __proto__', "event({ event: 'log', lines: [{ ...line, level: '__proto__' }], dropped: 0 })"],
  [
    'a log line of level constructor',
    "event({ event: 'log', lines: [{ ...line, level: 'constructor' }], dropped: 0 })",
  ],
  ['log lines that are no list', "event({ event: 'log', lines: { length: 3 }, dropped: 0 })"],
  ['an answer of status 99999', 'answerAll({ ...answer, status: 99999 })'],
  ['an answer whose headers are a text', "answerAll({ ...answer, headers: 'x' })"],
  ['an answer to a stream that the gateway never opened', 'say(HEAD, 4000, ...json(answer))'],
  ['data for a stream never opened', "say(DATA, 4001, 'x')"],
  ['a binding of another module', "say(OPEN, 1001, ...json({ ...binding, module: '../other' }))"],
  ['a binding call that is null', "say(OPEN, 1001, ...json('null'))"],
  ['a pong to no ping', 'say(PONG, 0, Buffer.alloc(4))'],
  ['credit beyond all measure', 'say(CREDIT, 0, Buffer.from([255, 255, 255, 255]))'],
  ['a head that ends before it begins', 'say(OPEN, 1001, Buffer.from([255, 255, 255, 255]))'],
  [
    'pings whose answers it never reads',
    'link.pause(); link._handle.readStop(); for (let i = 0; i < 2_000_000 && !link.destroyed; i++) { if (!say(PING, 0, Buffer.alloc(4))) await new Promise((resolve) => { link.once("drain", resolve); link.once("close", resolve) }) }',
  ],
];

describe('a function that speaks on the link of its base', () => {
  let rig: Rig;
  before(async () => {
    rig = await startRig({ timeoutMs: 8_000 });
  });
  after(() => rig[Symbol.asyncDispose]());

  for (const [what, code] of forged) {
    test(`ends its own host by ${what}`, async () => {
      const name = await rig.freshAttacker();
      const { status, body } = await rig.attack(`${TAKE_LINK}; ${code}; await new Promise(() => {})`, name);
      assert.equal(status, 502, JSON.stringify(body));
      assert.equal((body as { code: string }).code, 'FUNCTION_CRASHED');
      assert.equal(await rig.result("return 'anew'", name), 'anew');
    });
  }

  for (const [what, code, code_] of [
    ['a binding it has not', "say(OPEN, 1001, ...json({ ...binding, binding: '__proto__' }))", /^(FORBIDDEN)$/],
    [
      "another function's invocation",
      "say(OPEN, 1001, ...json({ ...binding, invocationId: process.env.VICTIM ?? 'x'.repeat(32) }))",
      /^(FORBIDDEN)$/,
    ],
  ] as const) {
    test(`is refused ${what}`, async () => {
      const said = await rig.result(`${TAKE_LINK}
        link.removeAllListeners('data'); // the base knows no such stream
        const heard = new Promise((resolve) => link.on('data', (chunk) => { const at = chunk.indexOf('{"code"'); if (at >= 0) resolve(JSON.parse(chunk.subarray(at, chunk.indexOf('}', at) + 1).toString()).code) }));
        ${code};
        return await heard;`);
      assert.match(String(said), code_);
    });
  }

  test('cannot end others by naming them: settled, started and broken concern its own base', async () => {
    const said = await rig.result(`${TAKE_LINK}
      event({ event: 'settled', invocationId: 'someone-else', timedOut: true });
      event({ event: 'started', streams: [1, 3, 1e9, -5] });
      for (let i = 0; i < 20_000; i++) event({ event: 'settled', invocationId: 'x' + i, timedOut: false });
      return 'still here';`);
    assert.equal(said, 'still here');
  });

  for (const [what, head] of [
    ['a header that splits the answer', "{ ...answer, headers: [['x-a', 'b\\r\\nset-cookie: stolen=1']] }"],
    ['a header name that splits the answer', "{ ...answer, headers: [['x\\r\\ny', 'b']] }"],
    ['a reason that splits the answer', "{ ...answer, statusText: 'OK\\r\\nset-cookie: stolen=1' }"],
    ['a status without an answer', '{ ...answer, status: 101 }'],
    ['a WebSocket nobody asked for', '{ ...answer, status: 101, webSocket: true }'],
  ] as const) {
    test(`sends no client ${what}`, async () => {
      const response = await fetch(`${rig.gateway.url}/${await rig.freshAttacker()}`, {
        method: 'POST',
        body: `${TAKE_LINK}
          answerAll(${head});
          await new Promise(() => {})`,
      });
      await response.text();
      assert.equal(response.headers.get('set-cookie'), null);
      assert.ok([500, 502].includes(response.status), String(response.status));
    });
  }
});
