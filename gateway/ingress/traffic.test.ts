import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import type { Traffic } from '../../functions/contract/traffic.ts';
import { EarlyBody, MAX_EARLY_BYTES } from '../registry/ask.ts';
import type { FunctionEntry, VersionEntry } from '../registry/registry.ts';
import { type Ask, compileTraffic } from '../registry/traffic.ts';
import { ReadAhead, type ReadAheadOutcome } from './read-ahead.ts';
import { type ScriptedCall, type ScriptedOptions, startScripted } from './testing/scripted.ts';

const version = (name: string) =>
  ({
    record: { functionName: 'shop', version: name, handlers: ['fetch'] },
    manifest: { hearth: { auth: null } },
    spec: { functionName: 'shop', version: name, vars: {} },
  }) as unknown as VersionEntry;
const [OLD, NEW] = [version('old'), version('new')];

function entryOf(traffic: Traffic): FunctionEntry {
  const plan = compileTraffic('shop', traffic);
  const byName = (name: string) => (name === 'new' ? NEW : OLD);
  return {
    record: { name: 'shop' },
    active: OLD,
    plan,
    choose(ask: Ask | null) {
      const { version, arm } = plan.choose(ask);
      return { version: byName(version), arm };
    },
    find: (name: string) => (name === 'old' || name === 'new' ? byName(name) : undefined),
  } as unknown as FunctionEntry;
}

const ONLY_OLD = [{ version: 'old', percent: 100 }];
const BY_BODY = entryOf({ split: ONLY_OLD, rules: [{ when: { json: { '/beta': true } }, version: 'new' }] });

const echo = async (call: ScriptedCall) => {
  await call.until(() => call.bodyEnded);
  call.respond(200, [], `${call.version.record.version} ${call.body.length}`);
};

function start(entry: FunctionEntry, script = echo, options: ScriptedOptions = {}) {
  const config = { maxBodyBytes: 4 * MAX_EARLY_BYTES };
  return startScripted(script, { route: () => ({ entry, prefix: '/shop', splits: null }), config, ...options });
}

function post(url: string, headers: Record<string, string> = {}) {
  const req = request(`${url}/shop`, { method: 'POST', headers, agent: false });
  req.on('error', () => undefined);
  return req;
}

const answerTo = async (req: ReturnType<typeof request>) => {
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  return { status: res.statusCode, text: await text(res) };
};

describe('a choice by a field of the body', () => {
  it('waits for the body, which then goes on whole and in order', async () => {
    await using hearth = await start(BY_BODY, async (call) => {
      await call.until(() => call.bodyEnded);
      call.respond(200, [], `${call.version.record.version} ${call.body}`);
    });
    const req = post(hearth.url);
    req.write('{"beta"');
    // Somebody else is served meanwhile.
    assert.equal((await fetch(`${hearth.url}/shop`)).status, 200);
    assert.equal(hearth.calls.length, 1);
    req.end(':true}');
    assert.deepEqual(await answerTo(req), { status: 200, text: 'new {"beta":true}' });
  });

  it('is made at once when the body cannot be JSON, and when it is too long, while the client still sends', async () => {
    for (const first of ['plain text', `{"beta":true,"x":"${'y'.repeat(MAX_EARLY_BYTES)}`]) {
      await using hearth = await start(BY_BODY);
      const req = post(hearth.url);
      const begun = hearth.next();
      req.write(first);
      assert.equal((await begun).version, OLD);
      req.end('and more');
      assert.deepEqual(await answerTo(req), { status: 200, text: `old ${first.length + 'and more'.length}` });
    }
  });

  it('is not waited for where the length says that the body is too long, or there is none', async () => {
    await using hearth = await start(BY_BODY);
    const req = post(hearth.url, { 'content-length': String(MAX_EARLY_BYTES + 1) });
    const begun = hearth.next();
    req.flushHeaders();
    assert.equal((await begun).version, OLD);
    req.end(Buffer.alloc(MAX_EARLY_BYTES + 1, 0x7b));
    assert.equal((await answerTo(req)).text, `old ${MAX_EARLY_BYTES + 1}`);
    assert.equal(await (await fetch(`${hearth.url}/shop`, { method: 'POST' })).text(), 'old 0');
  });

  it('gives the function no more at once than it takes', async () => {
    const document = JSON.stringify({ beta: true, fill: 'x'.repeat(500_000) });
    const steps: number[] = [];
    const script = (call: ScriptedCall) => {
      while (!call.bodyEnded) {
        steps.push(call.receivedBytes);
        call.highBytes = call.receivedBytes + 100_000;
        call.sink.drain();
      }
      call.respond(200, [], `${call.version.record.version} ${call.body === document}`);
    };
    await using hearth = await start(BY_BODY, script as typeof echo, { highBytes: 1 });
    const req = post(hearth.url);
    req.end(document);
    assert.equal((await answerTo(req)).text, 'new true');
    assert.deepEqual(steps.slice(0, 3), [65_536, 196_608, 327_680]);
  });

  it('asks the client to go on where it waits to be asked', async () => {
    await using hearth = await start(BY_BODY);
    const req = post(hearth.url, { expect: '100-continue' });
    req.flushHeaders();
    await once(req, 'continue');
    req.end('{"beta":true}');
    assert.deepEqual(await answerTo(req), { status: 200, text: 'new 13' });
  });

  it('goes by the traffic as it is once the body has come', async () => {
    let entry = BY_BODY;
    await using hearth = await start(entry, echo, { route: () => ({ entry, prefix: '/shop', splits: null }) });
    const req = post(hearth.url);
    req.write('{"beta":true');
    assert.equal((await fetch(`${hearth.url}/shop`)).status, 200);
    entry = entryOf({ split: ONLY_OLD });
    req.end('}');
    assert.equal((await answerTo(req)).text, 'old 13');
  });

  it('is not made for a client that has gone', async () => {
    await using hearth = await start(BY_BODY);
    const req = post(hearth.url);
    req.write('{');
    const other = fetch(`${hearth.url}/shop`);
    assert.equal((await other).status, 200);
    req.destroy();
    await hearth.ingress.drain(10_000);
    assert.equal(hearth.calls.length, 1);
    assert.equal(hearth.ingress.inFlight, 0);
  });

  it('keeps to the limit of bodies', async () => {
    await using hearth = await start(BY_BODY, echo, { config: { maxBodyBytes: 100 } });
    const req = post(hearth.url);
    req.end(JSON.stringify({ beta: true, fill: 'x'.repeat(200) }));
    assert.equal((await answerTo(req)).status, 413);
  });
});

describe('a choice by headers', () => {
  it('holds for WebSockets, too', async () => {
    const entry = entryOf({
      split: ONLY_OLD,
      rules: [
        { when: { cookie: { beta: '1' } }, version: 'new' },
        { when: { json: { '/beta': true } }, version: 'new' },
      ],
    });
    // A function that does not take the upgrade answers as to any request.
    const script = (call: ScriptedCall) =>
      call.respond(403, [], `${call.request.upgrade} ${call.version.record.version}`);
    await using hearth = await start(entry, script as typeof echo);
    const handshake = (more: string) =>
      hearth.raw(
        'GET /shop HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n' +
          `sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more}\r\n`,
      );
    assert.match(await handshake('cookie: beta=1\r\n'), /^HTTP\/1\.1 403 .*true new$/s);
    assert.match(await handshake(''), /^HTTP\/1\.1 403 .*true old$/s);
  });
});

describe('bodies that are read ahead', () => {
  async function outcomeOf(t: TestContext, ahead: ReadAhead, ...pieces: string[]): Promise<ReadAheadOutcome> {
    const told = Promise.withResolvers<ReadAheadOutcome>();
    const server = createServer((req: IncomingMessage, res: ServerResponse) => {
      ahead.read(req, res, new EarlyBody(), (outcome) => {
        told.resolve(outcome);
        res.end();
        req.resume();
      });
    });
    t.after(() => server.closeAllConnections());
    t.after(() => server.close());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const req = post(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    for (const piece of pieces) req.write(piece);
    return told.promise;
  }

  it('are no more than fit into memory together', async (t) => {
    assert.equal(await outcomeOf(t, new ReadAhead(10), '{"long":"long"'), 'full');
    const ahead = new ReadAhead(20);
    const first = outcomeOf(t, ahead, '{"a":1');
    const second = outcomeOf(t, ahead, '{"b":"23456789012345"');
    assert.equal(await Promise.race([first, second]), 'full');
    assert.equal(await outcomeOf(t, new ReadAhead(10), 'no JSON'), 'ready');
  });

  it('are not waited for without end', async (t) => {
    assert.equal(await outcomeOf(t, new ReadAhead(100, 1), '{'), 'ready');
  });
});

describe('a version that is asked for', () => {
  const locked = entryOf({ split: ONLY_OLD });
  const asked = (url: string, headers: Record<string, string>) => fetch(`${url}/shop`, { headers });

  it('is served to who may, whatever the traffic says; the token is not the function’s', async () => {
    const checked: string[] = [];
    const mayOverride = (token: string, name: string) => {
      checked.push(`${token} ${name}`);
      return token === 'good' ? null : new HearthError('FORBIDDEN', 'Not you.');
    };
    const script = (call: ScriptedCall) =>
      call.respond(200, [], `${call.version.record.version} ${call.header('authorization') ?? '-'}`);
    await using hearth = await start(locked, script as typeof echo, { mayOverride });
    const wanted = { 'hearth-version-override': 'new' };
    const answer = async (headers: Record<string, string>) => {
      const response = await asked(hearth.url, { ...wanted, ...headers });
      return `${response.status} ${(await response.text()).slice(0, 40)}`;
    };
    assert.equal(await answer({ 'hearth-token': 'good' }), '200 new -');
    assert.equal(await answer({ 'hearth-token': 'good', authorization: 'Bearer own' }), '200 new Bearer own');
    assert.equal(await answer({ authorization: 'bearer good' }), '200 new -');
    assert.match(await answer({ 'hearth-token': 'bad' }), /^403 /);
    assert.match(await answer({ authorization: 'Basic good' }), /^403 /);
    assert.match(await answer({}), /^403 /);
    assert.match(await answer({ 'hearth-token': 'good', 'hearth-version-override': 'other' }), /^404 /);
    assert.deepEqual(new Set(checked), new Set(['good shop', 'bad shop']));
  });

  it('is nobody’s to choose without the header: the token alone changes nothing', async () => {
    await using hearth = await start(locked);
    assert.equal(await (await asked(hearth.url, { 'hearth-token': 'good' })).text(), 'old 0');
  });
});
