import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NewMessage } from '../api/queues.ts';
import type { Artifact } from '../api/registry.ts';
import { packArtifact, packCache, unpackArtifact, unpackCache } from './artifact.ts';
import { packMessage, unpackMessage } from './message.ts';

const text = fc.string({ unit: 'binary', maxLength: 128 });
const bytes = fc.uint8Array({ maxLength: 300 });
const plain = { noNullPrototype: true };

test('a message comes back as it was, whatever its id, its trace and its bytes are', () => {
  const messages: fc.Arbitrary<NewMessage> = fc.record(
    {
      id: text.filter((id) => id.length > 0),
      body: bytes,
      contentType: fc.constantFrom('json', 'text', 'bytes', 'v8'),
      delayS: fc.double({ min: 0, max: 86_400, noNaN: true }),
      traceparent: fc.option(text),
      hops: fc.nat({ max: 16 }),
    },
    plain,
  );
  fc.assert(
    fc.property(messages, fc.nat(), (message, nowMs) => {
      const packed = packMessage(message, nowMs);
      assert.deepEqual(unpackMessage(packed), { ...message, timestamp: nowMs });
      // What scripts read of it.
      const length = Number(packed.toString('latin1', 0, 3));
      assert.equal(packed.toString('utf8', 3, 3 + length), message.id);
    }),
  );
});

test('an artifact comes back with its files in the order of their paths, and a code cache with its key', () => {
  const artifacts: fc.Arbitrary<Omit<Artifact, 'codeCache'>> = fc.record(
    {
      code: bytes,
      sourceMap: fc.option(bytes),
      files: fc.uniqueArray(fc.record({ path: text, bytes }, plain), { selector: ({ path }) => path, maxLength: 5 }),
    },
    plain,
  );
  fc.assert(
    fc.property(artifacts, text, (artifact, key) => {
      const files = artifact.files.toSorted((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
      const unpacked = unpackArtifact(packArtifact({ ...artifact, codeCache: null }));
      assert.deepEqual(unpacked, { ...artifact, files });
      assert.equal(unpacked.code.byteLength, unpacked.code.buffer.byteLength, 'it keeps nothing else alive');
      assert.deepEqual(unpackCache(packCache({ key, bytes: artifact.code })), { key, bytes: artifact.code });
    }),
  );
});
