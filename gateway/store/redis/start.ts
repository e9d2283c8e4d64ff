/** What a store is checked for before anything else is done with it. */
import { randomUUID } from 'node:crypto';
import type { Logger } from '../../telemetry/log.ts';
import { StoreStartError } from '../start-error.ts';
import type { Reply, Target } from './connection.ts';
import { asText } from './reply.ts';
import { PREFIX } from './script.ts';

/**
 * Of the keys, as the domains describe them. Steps forward are made by the first newer gateway that starts: the mark
 * changes with the version, so that older ones that still run are refused from that moment on.
 */
export const SCHEMA_VERSION = 1;

/** Which store it is: version, colon, and a name of its own. */
export const STORE_KEY = `${PREFIX}store`;

/** The oldest Redis that has all commands used here. */
const OLDEST = [6, 2] as const;

type Command = (name: string, ...args: (string | number | Uint8Array)[]) => Promise<Reply>;

/** A value that only those can read who have the key of the secrets. */
export interface KeyProof {
  make(): Uint8Array;
  /** Whether `proof` was made with a key we have; `current`: with the one that we seal with. */
  check(proof: Uint8Array): 'unknown' | 'older' | 'current';
}

/** Throws StoreStartError for a Redis that cannot be a store; warns of one that will lose what it was given. */
export async function checkServer(command: Command, { shown }: Target, log: Pick<Logger, 'warn'>): Promise<void> {
  const info = readInfo(asText(await command('INFO')));
  const version = info.get('redis_version') ?? '';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
    throw new StoreStartError(
      'STORE_REFUSED',
      `The Redis at ${shown} is version ${version}; Hearth needs ${OLDEST.join('.')} or newer.`,
    );
  }
  if (info.get('role') === 'slave') {
    throw new StoreStartError(
      'STORE_REFUSED',
      `The Redis at ${shown} is a replica and takes no writes; let REDIS_URL name the primary.`,
    );
  }
  if (info.get('aof_enabled') === '0') {
    log.warn(
      `The Redis at ${shown} keeps no append-only file: what it answers may be lost when it ends. Set "appendonly yes".`,
    );
  }
  const policy = info.get('maxmemory_policy') ?? 'noeviction';
  if ((info.get('maxmemory') ?? '0') !== '0' && policy !== 'noeviction') {
    log.warn(
      `The Redis at ${shown} throws data away when it is full (maxmemory-policy ${policy}). Set it to noeviction.`,
    );
  }
}

/** Makes the store where there is none. Returns the key whose presence says that it is still the same one. */
export async function openStore(command: Command, { shown }: Target): Promise<{ mark: string; isNew: boolean }> {
  const mine = `${SCHEMA_VERSION}:${randomUUID()}`;
  const isNew = (await command('SET', STORE_KEY, mine, 'NX')) !== null;
  const found = isNew ? mine : asText(await command('GET', STORE_KEY));
  const version = Number(/^(\d+):/.exec(found)?.[1] ?? Number.NaN);
  if (Number.isNaN(version)) {
    throw new StoreStartError(
      'STORE_DAMAGED',
      `The Redis at ${shown} holds something else under ${STORE_KEY}; name another one, or another database of it, with REDIS_URL.`,
    );
  }
  if (version > SCHEMA_VERSION) {
    throw new StoreStartError(
      'STORE_NEWER',
      `The store in the Redis at ${shown} has schema version ${version} and this Hearth knows versions up to ${SCHEMA_VERSION}; start the newer Hearth that wrote it, or restore a backup from before the upgrade.`,
    );
  }
  const mark = `${STORE_KEY}:${found}`;
  await command('SET', mark, '');
  return { mark, isNew };
}

/** Throws StoreStartError when what is stored was sealed with a key that we have not. */
export async function checkKey(command: Command, { shown }: Target, proof: KeyProof): Promise<void> {
  const key = `${PREFIX}key-proof`;
  await command('SET', key, proof.make(), 'NX');
  const kept = await command('GET', key);
  const state = Buffer.isBuffer(kept) ? proof.check(kept) : 'unknown';
  if (state === 'unknown') {
    throw new StoreStartError(
      'STORE_KEY',
      `The secrets in the Redis at ${shown} are sealed with another key; give this gateway the HEARTH_SECRET_KEY of those that use it already.`,
    );
  }
  if (state === 'older') await command('SET', key, proof.make());
}

function readInfo(text: string): Map<string, string> {
  return new Map(
    text.split('\r\n').flatMap((line): [string, string][] => {
      const at = line.indexOf(':');
      return at === -1 || line.startsWith('#') ? [] : [[line.slice(0, at), line.slice(at + 1)]];
    }),
  );
}
