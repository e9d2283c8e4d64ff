import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type CloseMessage,
  encodeBytes,
  encodeClose,
  encodeText,
  MessageDecoder,
  MessageError,
  type MessageReader,
} from './messages.ts';

type Seen = ['text', string] | ['binary', string] | ['close', CloseMessage];

function recorder(): { seen: Seen[]; reader: MessageReader } {
  const seen: Seen[] = [];
  return {
    seen,
    reader: {
      text: (payload) => seen.push(['text', Buffer.from(payload).toString()]),
      binary: (payload) => seen.push(['binary', Buffer.from(payload).toString('hex')]),
      close: (message) => seen.push(['close', message]),
    },
  };
}

const STREAM = Buffer.concat([
  encodeText('héllo'),
  encodeText(''),
  encodeBytes('binary', Uint8Array.of(0, 255, 1)),
  encodeBytes('text', Buffer.from('x'.repeat(300))),
  encodeClose(4001, 'done ✓'),
]);
const MESSAGES: Seen[] = [
  ['text', 'héllo'],
  ['text', ''],
  ['binary', '00ff01'],
  ['text', 'x'.repeat(300)],
  ['close', { code: 4001, reason: 'done ✓' }],
];

describe('messages', () => {
  it('come out the same however the bytes are cut', () => {
    for (const size of [1, 2, 3, 5, 7, 64, STREAM.byteLength]) {
      const { seen, reader } = recorder();
      const decoder = new MessageDecoder(reader);
      for (let at = 0; at < STREAM.byteLength; at += size) decoder.push(STREAM.subarray(at, at + size));
      assert.deepEqual(seen, MESSAGES, `cut into ${size}`);
      assert.equal(decoder.pendingBytes, 0);
    }
  });

  it('carry a close without a code as 1005', () => {
    const { seen, reader } = recorder();
    new MessageDecoder(reader).push(encodeClose(1005, 'ignored'));
    assert.deepEqual(seen, [['close', { code: 1005, reason: '' }]]);
  });

  it('cut a long close reason between characters', () => {
    const { seen, reader } = recorder();
    new MessageDecoder(reader).push(encodeClose(1000, 'é'.repeat(100)));
    assert.deepEqual(seen, [['close', { code: 1000, reason: 'é'.repeat(61) }]]);
  });

  it('over the limit are refused before a byte of them is kept', () => {
    const decoder = new MessageDecoder(recorder().reader, 10);
    decoder.push(encodeText('0123456789'));
    assert.throws(
      () => decoder.push(encodeText('0123456789a').subarray(0, 5)),
      (error) => error instanceof MessageError && error.closeCode === 1009,
    );
  });

  it('of an unknown kind, malformed closes and bytes after a close are refused', () => {
    const bad: Uint8Array[] = [
      Uint8Array.of(0, 0, 0, 0, 9),
      Uint8Array.of(0, 0, 0, 1, 3, 3),
      Uint8Array.of(0, 0, 0, 126, 3),
      Buffer.concat([encodeClose(1000, ''), encodeText('late')]),
    ];
    for (const bytes of bad) {
      assert.throws(
        () => new MessageDecoder(recorder().reader).push(bytes),
        (error) => error instanceof MessageError && error.closeCode === 1002,
      );
    }
  });
});
