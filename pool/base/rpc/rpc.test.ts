/** A base that calls and is called by method, over the link; the other side is in the hands of the test, and lies. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type {
  BindingCallHead,
  BindingSpec,
  RpcInvokeHead,
  RpcResultHead,
} from '../../../functions/contract/invocation.ts';
import type { Exchange } from '../../link/link.ts';
import { encodeBytes, encodeText } from '../../link/messages.ts';
import { concat } from '../body.ts';
import { silent, TestBase } from '../testing/harness.ts';

const LIMIT = { timeout: 60_000 };

const SPEC: BindingSpec = { kind: 'service', name: 'OTHER', service: 'other' };
const HEAD: RpcResultHead = { kind: 'rpc-result', calledAt: 0, waiting: true };

/** What the other base says, in frames, as soon as it is asked. */
function peer(...said: Uint8Array[]) {
  return (call: BindingCallHead, exchange: Exchange) => {
    assert.deepEqual(call.call, { op: 'service.rpc', method: 'add' });
    exchange.handler = { ...silent(), data: (chunk) => exchange.consumed(chunk.length) };
    exchange.sendHead(HEAD, concat(said));
  };
}

async function called(binding: (call: BindingCallHead, exchange: Exchange) => void): Promise<string> {
  await using base = await TestBase.start({ binding });
  return await base.evaluate('env.OTHER.add(1)', { bindings: [SPEC] });
}

test('a peer that breaks the rules fails the call and nothing else', LIMIT, async () => {
  const header = Buffer.alloc(5);
  header.writeUInt32BE(2 ** 31);
  header[4] = 1;
  const cases: [Uint8Array, RegExp][] = [
    [header, /over the limit/],
    [encodeBytes('binary', Buffer.from('x')), /unknown kind/],
    [Buffer.from([0, 0, 0, 1, 99, 0]), /Unknown message kind/],
    [encodeText('nonsense'), /JSON/],
    [encodeText('["resolve"]'), /bad RPC message/],
    [encodeText('["resolve",1,["what",1]]'), /unknown special value/],
    [encodeText('["resolve",1,{"\\u0000hearth":"map","v":1}]'), /no encoder makes/],
    [encodeText('["resolve",1,["import",-5]]'), /no such entry/],
    [encodeText('["release",0,5]'), /refcount/],
    [encodeText('["abort",["error","Error","given up"]]'), /given up/],
    [encodeText(`["resolve",1,${'['.repeat(2000)}1${']'.repeat(2000)}]`), /depth|special value/],
  ];
  for (const [frame, said] of cases) {
    assert.match(await called(peer(frame)), said, Buffer.from(frame.subarray(0, 60)).toString());
  }
});

test('a peer that ends early, or takes it back, fails the call with what it says', LIMIT, async () => {
  const refused = await called((_, exchange) => exchange.cancel({ code: 'FORBIDDEN', message: 'not from there' }));
  assert.equal(refused, 'BindingError: not from there');
  const silentEnd = await called((_, exchange) => exchange.sendHead(HEAD, null, true));
  assert.match(silentEnd, /has ended/);
});

const MODULE = `
const { WorkerEntrypoint, RpcTarget } = require('hearth');
class Thing extends RpcTarget { ping() { return 'pong'; } }
module.exports = class extends WorkerEntrypoint {
  add(a, b) { return a + b; }
  thing() { return new Thing(); }
  wait() { return new Promise(() => undefined); }
  fail() { throw new RangeError('too far'); }
};`;

type Rpc = Pick<RpcInvokeHead, 'trigger' | 'wire' | 'method'>;
const head = (wire: Rpc['wire'], method = ''): Rpc => ({ trigger: 'rpc', wire, method });
const push = (method: string, args: string) => encodeText(`["push",["pipeline",0,["${method}"],${args}]]`);

test('one call: the answer is one frame and the exchange is over', LIMIT, async () => {
  await using base = await TestBase.start();
  await base.load(MODULE);
  const call = base.open<RpcResultHead>(
    { ...base.common(), ...head('base') },
    concat([push('add', '[1,2]'), encodeText('["pull",1]')]),
    false,
  );
  const answered = await call.answered.promise;
  assert.equal(answered.waiting, false);
  await call.until('["resolve",1,3]');
  call.exchange.end();
  assert.equal(await call.ended.promise, null);
});

test('a session that holds something goes on until its caller ends it', LIMIT, async () => {
  await using base = await TestBase.start();
  await base.load(MODULE);
  const opening = concat([push('thing', '[]'), encodeText('["pull",1]')]);
  const common = base.common();
  const call = base.open<RpcResultHead>({ ...common, ...head('base') }, opening, false);
  assert.equal((await call.answered.promise).waiting, true);
  await call.until('["export",-1]');
  call.exchange.write(encodeText('["push",["pipeline",-1,["ping"],[]]]'));
  call.exchange.write(encodeText('["pull",2]'));
  await call.until('"pong"');
  call.exchange.end();
  assert.equal(await call.ended.promise, null);
  await base.event((event) => event.event === 'settled' && event.invocationId === common.invocationId);
});

test('a method that threw is told in the head as well, and its stack only to the log', LIMIT, async () => {
  await using base = await TestBase.start();
  await base.load(MODULE);
  const opening = concat([push('fail', '[]'), encodeText('["pull",1]')]);
  const call = base.open<RpcResultHead>({ ...base.common(), ...head('base') }, opening, false);
  assert.deepEqual((await call.answered.promise).error, { name: 'RangeError', message: 'too far' });
  const said = await call.until('too far');
  assert.doesNotMatch(said, / at /);
  await base.event(
    (event) => event.event === 'log' && event.lines.some(({ message }) => /too far\n\s+at /.test(message)),
  );
  call.exchange.end();
});

test('a caller that breaks the rules is cut off, and the base goes on', LIMIT, async () => {
  await using base = await TestBase.start();
  await base.load(MODULE, { memoryMb: 16 });
  const frames = [
    encodeText('nonsense'),
    encodeText('{}'),
    encodeText('["push",["pipeline",9,[]]]'),
    encodeText('["push",["pipeline",0,["add"],"no list"]]'),
    encodeBytes('binary', Buffer.from('x')),
    Buffer.from([255, 255, 255, 255, 1]),
    encodeText(`["push",["pipeline",0,["add"],["${'x'.repeat(1_100_000)}"]]]`),
  ];
  for (const frame of frames) {
    const call = base.open({ ...base.common(), ...head('base') }, frame, false);
    const error = await call.ended.promise;
    assert.match(error?.code ?? '', /BAD_REQUEST|PAYLOAD_TOO_LARGE/, Buffer.from(frame.subarray(0, 50)).toString());
  }
  const flood = Array.from({ length: 10_100 }, () => push('wait', '[]'));
  const call = base.open({ ...base.common(), ...head('client') }, concat(flood), false);
  assert.equal((await call.ended.promise)?.code, 'BAD_REQUEST');
  const after = await base.invoke<RpcResultHead>(head('json', 'add'), '[1,2]').whole();
  assert.equal(after.text, '3');
});

test('each call of a session has the time of one invocation', LIMIT, async () => {
  await using base = await TestBase.start();
  await base.load(MODULE);
  const common = { ...base.common(), timeoutMs: 50 };
  const call = base.open<RpcResultHead>({ ...common, ...head('client') }, null, false);
  await call.answered.promise;
  call.exchange.write(push('wait', '[]'));
  assert.equal((await call.ended.promise)?.code, 'FUNCTION_TIMEOUT');
});

test('one call as JSON, and what is wrong with it', LIMIT, async () => {
  await using base = await TestBase.start();
  await base.load(MODULE);
  const json = (method: string, body: string) => base.invoke<RpcResultHead>(head('json', method), body).whole();
  assert.equal((await json('add', '["a","b"]')).text, '"ab"');
  assert.equal((await json('add', '')).text, 'null');
  await assert.rejects(json('nope', '[]'), { code: 'NOT_FOUND' });
  await assert.rejects(json('constructor', '[]'), { code: 'NOT_FOUND' });
  await assert.rejects(json('add', '{}'), { code: 'FUNCTION_EXCEPTION', message: /an array/ });
  await assert.rejects(json('add', '{'), { code: 'FUNCTION_EXCEPTION' });
  await assert.rejects(json('thing', '[]'), { code: 'FUNCTION_EXCEPTION', message: /JSON/ });
});
