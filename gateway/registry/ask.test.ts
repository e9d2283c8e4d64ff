import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EarlyBody, HttpAsk, MAX_EARLY_BYTES } from './ask.ts';

function bodyOf(...pieces: string[]): EarlyBody {
  const body = new EarlyBody();
  for (const piece of pieces) body.add(Buffer.from(piece));
  body.end();
  return body;
}

const ask = (headers: [string, string][], query = '', body: EarlyBody | null = null) =>
  new HttpAsk(headers, query, body);

describe('what is asked of a request', () => {
  test('is a header by its name, one that repeats being a list', () => {
    const request = ask([
      ['x-beta', 'yes'],
      ['X-Team', 'red'],
      ['x-team', 'blue'],
    ]);
    assert.equal(request.header('x-beta'), 'yes');
    assert.equal(request.header('x-team'), 'red, blue');
    assert.equal(request.header('x-other'), null);
  });

  test('is a cookie as it was set: unquoted, decoded, the first of its name', () => {
    const request = ask([
      ['cookie', 'user=anna; quoted="a b"; coded=%C3%BC%20x; bad=%zz; empty=; user=other; flag'],
      ['cookie', 'second=2'],
    ]);
    assert.equal(request.cookie('user'), 'anna');
    assert.equal(request.cookie('quoted'), 'a b');
    assert.equal(request.cookie('coded'), 'ü x');
    assert.equal(request.cookie('bad'), '%zz');
    assert.equal(request.cookie('empty'), '');
    assert.equal(request.cookie('second'), '2');
    assert.equal(request.cookie('flag'), null);
    assert.equal(request.cookie('__proto__'), null);
  });

  test('is a parameter of the query, decoded, the first of its name', () => {
    const request = ask([], '?v=1%202&v=3&w');
    assert.equal(request.query('v'), '1 2');
    assert.equal(request.query('w'), '');
    assert.equal(request.query('x'), null);
  });

  test('is a field of the body by its pointer, and nothing that the document does not say', () => {
    const request = ask([], '', bodyOf(' {"user":{"id":7,"a/b":true},', '"list":[1,{"x":null}],"m~n":"t"}'));
    assert.equal(request.json('/user/id'), 7);
    assert.equal(request.json('/user/a~1b'), true);
    assert.equal(request.json('/m~0n'), 't');
    assert.equal(request.json('/list/1/x'), null);
    assert.deepEqual(request.json('/list/0'), 1);
    for (const nowhere of ['/user/id/x', '/nobody', '/constructor', '/user/toString', '/list/7', '/list/length', '/']) {
      assert.equal(request.json(nowhere), undefined, nowhere);
    }
    assert.deepEqual(ask([], '', bodyOf('[1]')).json(''), [1]);
    assert.equal(ask([]).json('/user'), undefined);
  });
});

describe('a body that is read before the choice', () => {
  test('is not waited for when it cannot be an object or an array', () => {
    for (const text of ['user=1', '"text"', '17', '\u0000', '<a/>'])
      assert.equal(new EarlyBody().add(Buffer.from(text)), false, text);
    for (const text of ['{', '[', '  \r\n\t{', '   ']) assert.equal(new EarlyBody().add(Buffer.from(text)), true, text);
    const body = new EarlyBody();
    assert.equal(body.add(Buffer.from('  ')), true);
    assert.equal(body.add(Buffer.from('x')), false);
  });

  test('is not waited for when it is too long, and says nothing then', () => {
    const body = new EarlyBody();
    assert.equal(body.add(Buffer.from(`{"a":"${'x'.repeat(MAX_EARLY_BYTES - 10)}`)), true);
    assert.equal(body.add(Buffer.from('xxxxxx"}')), false);
    body.end();
    assert.equal(body.json, undefined);
  });

  test('says nothing before it is whole, and nothing when it is not JSON or not UTF-8', () => {
    const half = new EarlyBody();
    half.add(Buffer.from('{"a":1}'));
    assert.equal(half.json, undefined);
    half.end();
    assert.deepEqual(half.json, { a: 1 });
    assert.equal(bodyOf('{"a":').json, undefined);
    const latin = new EarlyBody();
    latin.add(Buffer.from('{"a":"\xe9"}', 'latin1'));
    latin.end();
    assert.equal(latin.json, undefined);
    assert.deepEqual(bodyOf('{"a"', ':1}').json, { a: 1 });
  });

  test('keeps every byte as it came', () => {
    const body = bodyOf('abc', '', '{"x"');
    assert.equal(Buffer.from(body.content).toString(), 'abc{"x"');
  });
});
