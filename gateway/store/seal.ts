/**
 * Secrets at rest: AES-256-GCM under a key the database does not hold, so a copy of the database alone tells nothing.
 *
 *   sealed = 1 byte format · 4 bytes key id · 12 bytes nonce · 16 bytes tag · ciphertext
 *
 * Function and key name are additional data: a sealed value moved to another name does not open. The nonce is random;
 * with one key, 2³² values may be sealed before two share a nonce with a chance worth naming.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes, scryptSync } from 'node:crypto';
import { chmod, link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HearthError } from '../../functions/contract/errors.ts';
import { StartError } from '../start/start-error.ts';

const FORMAT = 1;
const KEY_ID_BYTES = 4;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + KEY_ID_BYTES + NONCE_BYTES + TAG_BYTES;

export interface Seal {
  seal(functionName: string, key: string, value: string): Uint8Array;
  /** Throws HearthError INTERNAL, with a sentence, when the value was changed, moved, or sealed with a key that is not given. */
  open(functionName: string, key: string, sealed: Uint8Array): string;
  /** False when it was sealed with an older key than the newest, and is to be sealed again. */
  isCurrent(sealed: Uint8Array): boolean;
}

/** `keys`: 32 bytes each, newest first: that one seals, all of them open. */
export function createSeal(keys: readonly Uint8Array[]): Seal {
  const [newest, ...older] = keys.map((key) => ({ key, id: keyId(key) }));
  if (newest === undefined) throw new RangeError('A seal needs at least one key.');
  const known = [newest, ...older];

  return {
    seal(functionName, key, value) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', newest.key, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(additionalData(functionName, key));
      const text = Buffer.concat([cipher.update(value, 'utf8'), cipher.final()]);
      return new Uint8Array(Buffer.concat([Buffer.from([FORMAT]), newest.id, nonce, cipher.getAuthTag(), text]));
    },
    open(functionName, key, sealed) {
      const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
      const what = `The secret ${key} of ${functionName} cannot be read`;
      if (bytes.length < HEAD_BYTES || bytes[0] !== FORMAT) {
        throw new HearthError('INTERNAL', `${what}: what is stored is no sealed value. Set the secret again.`);
      }
      const id = bytes.subarray(1, 1 + KEY_ID_BYTES);
      const candidates = known.filter((candidate) => candidate.id.equals(id));
      if (candidates.length === 0) {
        throw new HearthError(
          'INTERNAL',
          `${what}: it was sealed with another key. Add that key to HEARTH_SECRET_KEY behind the newest, or set the secret again.`,
        );
      }
      const nonce = bytes.subarray(1 + KEY_ID_BYTES, 1 + KEY_ID_BYTES + NONCE_BYTES);
      const tag = bytes.subarray(HEAD_BYTES - TAG_BYTES, HEAD_BYTES);
      let cause: unknown;
      for (const candidate of candidates) {
        const decipher = createDecipheriv('aes-256-gcm', candidate.key, nonce, { authTagLength: TAG_BYTES });
        decipher.setAAD(additionalData(functionName, key));
        decipher.setAuthTag(tag);
        try {
          return Buffer.concat([decipher.update(bytes.subarray(HEAD_BYTES)), decipher.final()]).toString('utf8');
        } catch (error) {
          cause = error;
        }
      }
      throw new HearthError('INTERNAL', `${what}: the stored value was changed. Set the secret again.`, { cause });
    },
    isCurrent(sealed) {
      return newest.id.equals(sealed.subarray(1, 1 + KEY_ID_BYTES));
    },
  };
}

/** Two names can never read as one: JSON keeps them apart. */
function additionalData(functionName: string, key: string): Buffer {
  return Buffer.from(JSON.stringify([functionName, key]));
}

function keyId(key: Uint8Array): Buffer {
  return createHash('sha256').update('hearth key id').update(key).digest().subarray(0, KEY_ID_BYTES);
}

/**
 * One value of HEARTH_SECRET_KEY as a key. Exactly 32 bytes in base64 or hex are taken as they are; any other text is
 * taken for a passphrase and stretched by scrypt (N 2¹⁵, r 8, p 1; some 60 ms at start). The salt is fixed, since
 * gateways that share a store must come to the same key from the same text.
 */
export function keyFromText(text: string): Uint8Array {
  const trimmed = text.trim();
  if (/^[\da-f]{64}$/i.test(trimmed)) return new Uint8Array(Buffer.from(trimmed, 'hex'));
  if (/^[A-Za-z0-9+/_-]{43}=?$/.test(trimmed)) return new Uint8Array(Buffer.from(trimmed, 'base64'));
  return new Uint8Array(scryptSync(trimmed, 'hearth secret key', 32, { N: 2 ** 15, r: 8, maxmem: 64 * 1024 * 1024 }));
}

/**
 * The keys, newest first: those given (HEARTH_SECRET_KEY), then the one in `<dataDir>/secret-key` where there is one,
 * so that what was sealed before the setting was made stays readable. With none at all one is made and kept there, mode
 * 0600. Throws StartError when the file cannot be made or read.
 */
export async function loadSecretKeys(given: readonly string[], dataDir: string): Promise<Uint8Array[]> {
  const path = join(dataDir, 'secret-key');
  try {
    let kept = await readKeyFile(path);
    if (kept === null && given.length === 0) {
      await makeKeyFile(path, dataDir);
      kept = await readKeyFile(path);
    }
    return [...given, ...(kept === null ? [] : [kept])].map(keyFromText);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartError(
      `The key of the secrets cannot be used (${path}: ${reason}); mend the file, or set HEARTH_SECRET_KEY.`,
      {
        cause: error,
      },
    );
  }
}

async function readKeyFile(path: string): Promise<string | null> {
  try {
    const text = (await readFile(path, 'utf8')).trim();
    if (text === '') throw new Error('the file is empty');
    await chmod(path, 0o600);
    return text;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** Whole or not at all, and never over one that exists: a lost key loses every secret. */
async function makeKeyFile(path: string, dataDir: string): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(`${randomBytes(32).toString('base64')}\n`);
    await file.sync();
    await link(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await file.close();
    await rm(draft, { force: true });
  }
}
