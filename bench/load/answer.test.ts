import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AnswerReader } from './answer.ts';

const ANSWERS = {
  'with a length': 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer-Timing: run;dur=0.5\r\n\r\nhello',
  chunked:
    'HTTP/1.1 503 Service Unavailable\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\na;x=1\r\n0123456789\r\n0\r\n\r\n',
  'chunked, whose body looks like its end':
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n',
  'without a body': 'HTTP/1.1 204 No Content\r\n\r\n',
};

for (const [kind, whole] of Object.entries(ANSWERS)) {
  test(`an answer ${kind} is complete with its last byte and not before`, () => {
    for (let length = 0; length < whole.length; length++) {
      assert.equal(
        new AnswerReader().push(Buffer.from(whole.slice(0, length))),
        null,
        `complete after ${length} bytes`,
      );
    }
    assert.notEqual(new AnswerReader().push(Buffer.from(whole)), null);
  });

  test(`an answer ${kind} reads the same in whatever two pieces it comes`, () => {
    const expected = new AnswerReader(true).push(Buffer.from(whole));
    for (let cut = 1; cut < whole.length; cut++) {
      const reader = new AnswerReader(true);
      assert.equal(reader.push(Buffer.from(whole.slice(0, cut))), null);
      assert.deepEqual(reader.push(Buffer.from(whole.slice(cut))), expected, `cut at ${cut}`);
    }
  });
}

test('an answer gives status, headers by lower-case names, and the bytes of its body', () => {
  const answer = new AnswerReader(true).push(Buffer.from(ANSWERS['with a length']));
  assert.equal(answer?.status, 200);
  assert.equal(answer.headers.get('server-timing'), 'run;dur=0.5');
  assert.equal(answer.body, 'hello');
  const chunked = new AnswerReader(true).push(Buffer.from(ANSWERS.chunked));
  assert.equal(chunked?.body, 'no0123456789');
  assert.equal(chunked.bodyBytes, 12);
});

test('bodies are counted and not kept unless asked for', () => {
  const answer = new AnswerReader().push(Buffer.from(ANSWERS['with a length']));
  assert.deepEqual([answer?.bodyBytes, answer?.body], [5, '']);
});

test('answers follow one another', () => {
  const reader = new AnswerReader(true);
  for (const text of [ANSWERS.chunked, ANSWERS['with a length'], ANSWERS.chunked]) {
    assert.notEqual(reader.push(Buffer.from(text)), null);
  }
});

test('what has no end to be known, or is no HTTP, is refused', () => {
  assert.throws(() => new AnswerReader().push(Buffer.from('HTTP/1.1 200 OK\r\n\r\nuntil I close')), /without a length/);
  assert.throws(() => new AnswerReader().push(Buffer.from('SSH-2.0-OpenSSH\r\n\r\n')), /no HTTP/);
  const chunked = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n';
  assert.throws(() => new AnswerReader().push(Buffer.from(chunked)), /no chunk size/);
});
