import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import { createSeal, keyFromText, loadSecretKeys } from './seal.ts';

const keyA = keyFromText('a'.repeat(64));
const keyB = keyFromText('b'.repeat(64));

function unreadable(pattern: RegExp) {
  return (error: unknown) => error instanceof HearthError && error.code === 'INTERNAL' && pattern.test(error.message);
}

function withDir(use: (dir: string) => Promise<void>): () => Promise<void> {
  return async () => {
    const dir = mkdtempSync(join(tmpdir(), 'hearth-seal-'));
    try {
      await use(dir);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  };
}

describe('seal', () => {
  it('opens what it sealed, and shows nothing of it', () => {
    const seal = createSeal([keyA]);
    for (const value of ['', 'hunter2', 'päß\u0000wörter ✓']) {
      const sealed = seal.seal('shop', 'API_KEY', value);
      assert.equal(seal.open('shop', 'API_KEY', sealed), value);
      if (value !== '') assert.equal(Buffer.from(sealed).includes(value), false);
    }
  });

  it('seals the same value differently each time', () => {
    const seal = createSeal([keyA]);
    assert.notDeepEqual(seal.seal('shop', 'K', 'v'), seal.seal('shop', 'K', 'v'));
  });

  it('refuses a value of which one byte was changed, wherever it stands', () => {
    const seal = createSeal([keyA]);
    const sealed = seal.seal('shop', 'K', 'value');
    for (let i = 0; i < sealed.length; i++) {
      const changed = sealed.slice();
      changed[i]! ^= 1;
      assert.throws(
        () => seal.open('shop', 'K', changed),
        unreadable(/The secret K of shop cannot be read/),
        `byte ${i}`,
      );
    }
    assert.throws(() => seal.open('shop', 'K', sealed.subarray(0, 10)), unreadable(/no sealed value/));
  });

  it('refuses a value that was moved to another function or name', () => {
    const seal = createSeal([keyA]);
    const sealed = seal.seal('shop', 'K', 'value');
    assert.throws(() => seal.open('shop', 'K2', sealed), unreadable(/was changed/));
    assert.throws(() => seal.open('other', 'K', sealed), unreadable(/was changed/));
  });

  it('rotates: the newest key seals, older ones still open, an absent one is named as the cause', () => {
    const old = createSeal([keyA]).seal('shop', 'K', 'value');
    const rotated = createSeal([keyB, keyA]);
    assert.equal(rotated.open('shop', 'K', old), 'value');
    assert.equal(rotated.isCurrent(old), false);
    const fresh = rotated.seal('shop', 'K', 'value');
    assert.equal(rotated.isCurrent(fresh), true);
    assert.equal(createSeal([keyB]).open('shop', 'K', fresh), 'value');
    assert.throws(() => createSeal([keyB]).open('shop', 'K', old), unreadable(/another key.*HEARTH_SECRET_KEY/));
  });
});

describe('keyFromText', () => {
  it('takes 32 bytes of base64 or hex as they are and stretches everything else', () => {
    const bytes = Buffer.alloc(32, 7);
    assert.deepEqual(Buffer.from(keyFromText(bytes.toString('base64'))), bytes);
    assert.deepEqual(Buffer.from(keyFromText(bytes.toString('base64url'))), bytes);
    assert.deepEqual(Buffer.from(keyFromText(bytes.toString('hex'))), bytes);
    const stretched = keyFromText('correct horse battery staple');
    assert.equal(stretched.length, 32);
    assert.deepEqual(stretched, keyFromText(' correct horse battery staple\n'));
    assert.notDeepEqual(stretched, keyFromText('correct horse battery stapler'));
  });
});

describe('loadSecretKeys', () => {
  it(
    'makes a key at the first start, for its owner alone, and finds it again',
    withDir(async (dir) => {
      const first = await loadSecretKeys([], join(dir, 'data'));
      assert.equal(statSync(join(dir, 'data', 'secret-key')).mode & 0o777, 0o600);
      assert.deepEqual(await loadSecretKeys([], join(dir, 'data')), first);
    }),
  );

  it(
    'puts given keys first, keeps the file for what was sealed before, and makes none when keys are given',
    withDir(async (dir) => {
      assert.deepEqual(await loadSecretKeys(['c'.repeat(64)], dir), [keyFromText('c'.repeat(64))]);
      assert.throws(() => statSync(join(dir, 'secret-key')), { code: 'ENOENT' });
      const [made] = await loadSecretKeys([], dir);
      assert.deepEqual(await loadSecretKeys(['c'.repeat(64)], dir), [keyFromText('c'.repeat(64)), made]);
    }),
  );

  it(
    'two first starts at once agree on one key',
    withDir(async (dir) => {
      const [one, two] = await Promise.all([loadSecretKeys([], dir), loadSecretKeys([], dir)]);
      assert.deepEqual(one, two);
      assert.deepEqual(readdirSync(dir), ['secret-key']);
    }),
  );

  it(
    'keeps the key that is there, and closes it to others',
    withDir(async (dir) => {
      writeFileSync(join(dir, 'secret-key'), `${'d'.repeat(64)}\n`, { mode: 0o644 });
      const [one, two] = await Promise.all([loadSecretKeys([], dir), loadSecretKeys([], dir)]);
      assert.deepEqual(one, two);
      assert.equal(readFileSync(join(dir, 'secret-key'), 'utf8').trim(), 'd'.repeat(64));
      assert.equal(statSync(join(dir, 'secret-key')).mode & 0o777, 0o600, 'a key others could read is closed');
    }),
  );

  it(
    'says what is wrong with a key file it cannot use',
    withDir(async (dir) => {
      writeFileSync(join(dir, 'secret-key'), '');
      await assert.rejects(
        loadSecretKeys([], dir),
        /secret-key: the file is empty\); mend the file, or set HEARTH_SECRET_KEY/,
      );
    }),
  );
});
