/** Functions behind an issuer's tokens: real keys, real signatures, a real issuer on a socket. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { base64url, type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { type AddressCheck, createAddressCheck, type Resolve } from '../addresses.ts';
import { createKeySets } from './key-sets.ts';
import { startScripted } from './testing/scripted.ts';

const AUDIENCE = 'shop';
const ISSUER = 'https://issuer.example/';
const NOW_S = Math.floor(Date.now() / 1000);

interface Signer {
  alg: string;
  kid: string;
  key: CryptoKey;
  jwk: JWK;
}

async function signer(alg: string, kid: string): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return { alg, kid, key: privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg } };
}

function token(by: Signer, claims: Record<string, unknown> = {}): Promise<string> {
  return new SignJWT({ aud: AUDIENCE, iss: ISSUER, exp: NOW_S + 600, ...claims })
    .setProtectedHeader({ alg: by.alg, kid: by.kid })
    .sign(by.key);
}

interface Issuer {
  url: string;
  /** What it answers; a string stands for the body as it is. */
  keys: JWK[] | string;
  status: number;
  asked: number;
}

async function startIssuer(t: TestContext, keys: JWK[]): Promise<Issuer> {
  const issuer: Issuer = { url: '', keys, status: 200, asked: 0 };
  const server = createServer((_req, res) => {
    issuer.asked++;
    const { keys: kept, status } = issuer;
    res.writeHead(status, status === 302 ? { location: `${issuer.url}other` } : {});
    res.end(typeof kept === 'string' ? kept : JSON.stringify({ keys: kept }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  issuer.url = `http://issuer.example:${(server.address() as AddressInfo).port}/`;
  return issuer;
}

const toLoopback: Resolve = (_host, _options, answer) => answer(null, [{ address: '127.0.0.1', family: 4 }]);

/** A function behind this issuer, the clock of its key sets, and how a call with a token ends. */
async function locked(
  t: TestContext,
  issuer: Issuer,
  auth: Record<string, unknown> = {},
  allowed: AddressCheck = () => true,
) {
  const clock = { ms: 1_000_000 };
  const hearth = await startScripted((call) => call.respond(200, [], 'in'), {
    auth: { jwks: issuer.url, audience: AUDIENCE, ...auth },
    keySets: createKeySets({ allowed, resolve: toLoopback, now: () => clock.ms }),
  });
  t.after(() => hearth[Symbol.asyncDispose]());
  const call = async (bearer: string | null, body?: string) => {
    const headers: Record<string, string> = bearer === null ? {} : { authorization: `Bearer ${bearer}` };
    const response = await fetch(`${hearth.url}/hello`, {
      headers,
      ...(body === undefined ? {} : { method: 'POST', body }),
    });
    const text = await response.text();
    const detail = response.status === 200 ? text : (JSON.parse(text) as { detail: string }).detail;
    return { status: response.status, detail, headers: response.headers };
  };
  return { hearth, clock, call };
}

describe('a function behind an issuer', () => {
  it('is called with tokens signed by RS256, ES256 and EdDSA, and gets their bodies', async (t) => {
    const signers = await Promise.all([signer('RS256', 'r'), signer('ES256', 'e'), signer('EdDSA', 'd')]);
    const issuer = await startIssuer(
      t,
      signers.map(({ jwk }) => jwk),
    );
    const { hearth, call } = await locked(t, issuer, { issuer: ISSUER });
    for (const by of signers) assert.equal((await call(await token(by), 'body')).status, 200, by.alg);
    assert.deepEqual(
      hearth.calls.map(({ body }) => body),
      ['body', 'body', 'body'],
    );
    assert.equal(issuer.asked, 1);
  });

  it('refuses a token for somebody else, of another issuer, out of its time, without an end, or signed by another', async (t) => {
    const [own, other] = await Promise.all([signer('ES256', 'k'), signer('ES256', 'k')]);
    const issuer = await startIssuer(t, [own.jwk]);
    const { hearth, call } = await locked(t, issuer, { issuer: ISSUER });
    const cases: [string | null, RegExp][] = [
      [null, /asks for a bearer token/],
      ['', /asks for a bearer token/],
      ['nonsense', /no token that can be checked/],
      ['a.b.c', /no token that can be checked/],
      [await token(own, { aud: 'bank' }), /claim "aud"/],
      [await token(own, { iss: 'https://evil.example/' }), /claim "iss"/],
      [await token(own, { exp: NOW_S - 60 }), /has expired/],
      [await token(own, { exp: undefined }), /claim "exp"/],
      [await token(own, { nbf: NOW_S + 600 }), /claim "nbf"/],
      [await token(other), /no signature of its issuer's/],
      [`${await token(own)}x`, /no (signature|token)/],
    ];
    for (const [bearer, detail] of cases) {
      const answer = await call(bearer);
      assert.equal(answer.status, 401, `${bearer}: ${answer.detail}`);
      assert.match(answer.detail, detail);
      assert.equal(answer.headers.get('www-authenticate'), 'Bearer');
      assert.doesNotMatch(answer.detail, /admin-token/);
    }
    assert.deepEqual(hearth.calls, []);
  });

  it('takes neither "none" nor a signature by a secret, and asks no issuer for them', async (t) => {
    const own = await signer('RS256', 'k');
    const issuer = await startIssuer(t, [own.jwk, { kty: 'oct', kid: 's', k: base64url.encode('secret'.repeat(8)) }]);
    const { call } = await locked(t, issuer);
    const claims = base64url.encode(JSON.stringify({ aud: AUDIENCE, exp: NOW_S + 600 }));
    const none = `${base64url.encode('{"alg":"none"}')}.${claims}.`;
    const hs = (key: Uint8Array, kid: string) =>
      new SignJWT({ aud: AUDIENCE, exp: NOW_S + 600 }).setProtectedHeader({ alg: 'HS256', kid }).sign(key);
    const confused = await hs(new TextEncoder().encode(JSON.stringify(own.jwk)), 'k');
    for (const bearer of [none, await hs(Buffer.from('secret'.repeat(8)), 's'), confused]) {
      const answer = await call(bearer);
      assert.equal(answer.status, 401);
      assert.match(answer.detail, /is signed by "(none|HS256)"; taken are RS256/);
    }
    assert.equal(issuer.asked, 0);
  });

  it('finds a new key of its issuer, and asks no more than once in the cooldown for keys that are not there', async (t) => {
    const [first, second, stranger] = await Promise.all([
      signer('ES256', '1'),
      signer('ES256', '2'),
      signer('ES256', '3'),
    ]);
    const issuer = await startIssuer(t, [first.jwk]);
    const { clock, call } = await locked(t, issuer);
    assert.equal((await call(await token(first))).status, 200);
    issuer.keys = [first.jwk, second.jwk];
    assert.equal((await call(await token(second))).status, 401, 'it was fetched a moment ago');
    clock.ms += 30_000;
    assert.equal((await call(await token(second))).status, 200);
    for (let i = 0; i < 5; i++) {
      const answer = await call(await token(stranger));
      assert.equal(answer.status, 401);
      assert.match(answer.detail, /a key that its issuer does not have/);
    }
    assert.equal(issuer.asked, 2);
  });

  it('goes on with the old keys while its issuer is away, for an hour and no longer', async (t) => {
    const own = await signer('ES256', 'k');
    const issuer = await startIssuer(t, [own.jwk]);
    const { clock, call } = await locked(t, issuer);
    const bearer = await token(own);
    assert.equal((await call(bearer)).status, 200);
    issuer.status = 500;
    clock.ms += 59 * 60_000;
    assert.equal((await call(bearer)).status, 200);
    clock.ms += 2 * 60_000;
    const away = await call(bearer);
    assert.equal(away.status, 503);
    assert.match(away.detail, /cannot be had from issuer\.example:\d+: it answered 500/);
    assert.equal(away.headers.get('retry-after'), '5');
    const asked = issuer.asked;
    assert.equal((await call(bearer)).status, 503);
    assert.equal(issuer.asked, asked, 'not asked again at once');
    issuer.status = 200;
    clock.ms += 5_000;
    assert.equal((await call(bearer)).status, 200);
  });

  it('stays locked with an issuer that redirects, answers something else, or too much', async (t) => {
    const own = await signer('ES256', 'k');
    const bearer = await token(own);
    const answers: [number, Issuer['keys'], RegExp][] = [
      [302, '', /it answered 302/],
      [404, '', /it answered 404/],
      [200, 'not JSON', /cannot be had/],
      [200, '[]', /something else than a key set/],
      [200, 'null', /something else than a key set/],
      [200, 'x'.repeat(300_000), /more than 262144 bytes/],
    ];
    for (const [status, keys, detail] of answers) {
      const issuer = await startIssuer(t, []);
      issuer.status = status;
      issuer.keys = keys;
      const { hearth, call } = await locked(t, issuer);
      const answer = await call(bearer);
      assert.equal(answer.status, 503, answer.detail);
      assert.match(answer.detail, detail);
      assert.equal(issuer.asked, 1);
      assert.deepEqual(hearth.calls, []);
    }
  });

  it('asks no issuer on this machine, whatever its name resolves to', async (t) => {
    const own = await signer('ES256', 'k');
    const issuer = await startIssuer(t, [own.jwk]);
    const { call } = await locked(t, issuer, {}, createAddressCheck(true));
    const answer = await call(await token(own));
    assert.equal(answer.status, 403);
    assert.match(answer.detail, /issuer\.example is at 127\.0\.0\.1, an address that Hearth fetches no keys from/);
    assert.doesNotMatch(answer.detail, /scope/);
    assert.equal(issuer.asked, 0);
  });

  it('opens a WebSocket to who may, and to nobody else', async (t) => {
    const own = await signer('ES256', 'k');
    const { hearth } = await locked(t, await startIssuer(t, [own.jwk]));
    const upgrade = async (bearer: string) => {
      const headers = {
        authorization: `Bearer ${bearer}`,
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-key': Buffer.alloc(16).toString('base64'),
        'sec-websocket-version': '13',
      };
      const req = request(`${hearth.url}/hello`, { headers, agent: false }).end();
      const [res] = await once(req, 'response');
      res.resume();
      return res.statusCode;
    };
    // The function answers an upgrade as any request: 200 says that it was asked.
    assert.equal(await upgrade(await token(own)), 200);
    assert.equal(await upgrade('nonsense'), 401);
    assert.equal(hearth.calls.length, 1);
  });
});
