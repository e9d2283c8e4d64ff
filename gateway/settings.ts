/** The table of settings that flags, environment, `--help` and errors are made from; config.ts reads and checks them. */
import { totalmem } from 'node:os';
import { resolve } from 'node:path';
import { REDIS_URL_ALLOWED, readRedisUrl } from './store/redis/target.ts';
import { LOG_LEVELS } from './telemetry/log.ts';

export interface Setting<Value> {
  env: string;
  /** As text, for `--help`; null: no default. */
  default: string | null;
  allowed: string;
  meaning: string;
  /** undefined: not allowed. */
  parse(text: string): Value | undefined;
}

function integer(least: number, most: number): Pick<Setting<number>, 'allowed' | 'parse'> {
  return {
    allowed: `a whole number from ${least} to ${most}`,
    parse(text) {
      const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
      return value >= least && value <= most ? value : undefined;
    },
  };
}

function oneOf<const Names extends readonly string[]>(
  ...names: Names
): Pick<Setting<Names[number]>, 'allowed' | 'parse'> {
  return { allowed: names.join(', '), parse: (text) => names.find((name) => name === text) };
}

function list(item: string, valid: (text: string) => boolean): Pick<Setting<string[]>, 'allowed' | 'parse'> {
  return {
    allowed: `${item}, several separated by commas`,
    parse(text) {
      const items = text
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== '');
      return items.every(valid) ? items : undefined;
    },
  };
}

function offOr(number: Pick<Setting<number>, 'allowed' | 'parse'>): Pick<Setting<number | 'off'>, 'allowed' | 'parse'> {
  return { allowed: `off, or ${number.allowed}`, parse: (text) => (text === 'off' ? text : number.parse(text)) };
}

const port = integer(0, 65_535);
const diskMb = integer(256, 1_073_741_824);
const host: Pick<Setting<string>, 'allowed' | 'parse'> = {
  allowed: 'a host name or an IP address to listen on',
  parse: (text) => (/^[\w.:%-]+$/.test(text) ? text : undefined),
};
const path: Pick<Setting<string>, 'allowed' | 'parse'> = {
  allowed: 'a path',
  parse: (text) => (text === '' ? undefined : resolve(text)),
};

/** Half of what the machine, or the container, has. */
function halfOfMachineMb(): number {
  const limit = process.constrainedMemory();
  return Math.max(
    256,
    Math.floor(Math.min(totalmem(), limit > 0 ? limit : Number.POSITIVE_INFINITY) / 2 / (1024 * 1024)),
  );
}

/** The table. By flag; what a value becomes follows from its `parse`. */
export function settings() {
  return {
    host: { env: 'HEARTH_HOST', default: '127.0.0.1', meaning: 'function traffic listens here', ...host },
    port: { env: 'HEARTH_PORT', default: '8080', meaning: 'port of function traffic; 0 takes a free one', ...port },
    'admin-host': {
      env: 'HEARTH_ADMIN_HOST',
      default: '127.0.0.1',
      meaning: 'control API, docs and dashboard listen here',
      ...host,
    },
    'admin-port': {
      env: 'HEARTH_ADMIN_PORT',
      default: '8081',
      meaning: 'port of the control API; 0 takes a free one',
      ...port,
    },
    'admin-token': {
      env: 'HEARTH_ADMIN_TOKEN',
      default: null,
      allowed: '16 characters or more, without spaces',
      meaning: 'token of the control API; without it one is made and kept in <data>/admin-token',
      parse: (text: string) => (/^[\x21-\x7e]{16,}$/.test(text) ? text : undefined),
    },
    'data-dir': { env: 'HEARTH_DATA_DIR', default: './.hearth', meaning: 'all state', ...path },
    examples: {
      env: 'HEARTH_EXAMPLES',
      default: 'auto',
      meaning: 'auto deploys functions/examples on an empty data directory',
      ...oneOf('auto', 'off'),
    },
    store: {
      env: 'HEARTH_STORE',
      default: 'sqlite',
      meaning: 'where state is kept: one gateway in the data directory, or any number on one Redis',
      ...oneOf('sqlite', 'redis'),
    },
    'redis-url': {
      env: 'REDIS_URL',
      default: 'redis://127.0.0.1:6379',
      allowed: REDIS_URL_ALLOWED,
      meaning: 'where Redis is, for HEARTH_STORE=redis',
      parse: readRedisUrl,
    },
    'warm-bases': {
      env: 'HEARTH_WARM_BASES',
      default: '8',
      meaning: 'warm bases without a lessee, per base definition in use',
      ...integer(0, 1000),
    },
    'max-bases': { env: 'HEARTH_MAX_BASES', default: '256', meaning: 'bases at most', ...integer(1, 100_000) },
    'bases-per-host': {
      env: 'HEARTH_BASES_PER_HOST',
      default: '8',
      meaning: 'bases of one host process at most',
      ...integer(1, 256),
    },
    'memory-mb': {
      env: 'HEARTH_MEMORY_MB',
      default: String(halfOfMachineMb()),
      meaning: 'what hosts may use together, as PSS (default: half the machine)',
      ...integer(64, 16_777_216),
    },
    'max-body-mb': {
      env: 'HEARTH_MAX_BODY_MB',
      default: '100',
      meaning: 'limit of one request body to a function',
      ...integer(1, 65_536),
    },
    'max-deploy-mb': {
      env: 'HEARTH_MAX_DEPLOY_MB',
      default: '64',
      meaning: 'limit of one deploy',
      ...integer(1, 1024),
    },
    network: {
      env: 'HEARTH_NETWORK',
      default: 'all',
      meaning: 'network policy of functions that name none',
      ...oneOf('all', 'none'),
    },
    sandbox: {
      env: 'HEARTH_SANDBOX',
      default: 'auto',
      meaning: 'bubblewrap around hosts: auto (where it works), off, require',
      ...oneOf('auto', 'off', 'require'),
    },
    'arklet-port': {
      env: 'HEARTH_ARKLET_PORT',
      default: 'off',
      meaning: "port of arklet's operations API, on HEARTH_ADMIN_HOST; 0 takes a free one",
      ...offOr(port),
    },
    'arklet-token': {
      env: 'HEARTH_ARKLET_TOKEN',
      default: 'required',
      meaning: 'off: programs of this machine, but for functions, need no token there (Linux, loopback only)',
      ...oneOf('required', 'off'),
    },
    'arklet-sources': {
      env: 'HEARTH_ARKLET_SOURCES',
      default: '',
      meaning: 'directories whose files it may install, and hosts it may fetch from at any address (default: none)',
      ...list(
        'absolute directories, or hosts as HOST or HOST:PORT',
        (text) => (text.startsWith('/') && text !== '/') || /^(\[[\da-fA-F:.]+\]|[\w.-]+)(:\d{1,5})?$/.test(text),
      ),
    },
    'trust-proxy': {
      env: 'HEARTH_TRUST_PROXY',
      default: '',
      meaning: 'addresses whose forwarded headers are believed (default: none)',
      ...list('IP addresses or CIDR ranges', (text) => /^[\da-fA-F.:]+(\/\d{1,3})?$/.test(text)),
    },
    'callback-private': {
      env: 'HEARTH_CALLBACK_PRIVATE',
      default: 'refuse',
      meaning:
        'allow: callbacks of asynchronous invocations, and key sets of hearth.auth, may be in private networks; never on this machine',
      ...oneOf('refuse', 'allow'),
    },
    'secret-key': {
      env: 'HEARTH_SECRET_KEY',
      default: null,
      meaning: 'encrypts secrets, newest first; without it one is made and kept in the data directory',
      ...list('keys of 16 characters or more', (text) => text.length >= 16),
    },
    'retention-days': {
      env: 'HEARTH_RETENTION_DAYS',
      default: '7',
      meaning: 'logs, finished invocations, unused versions beyond the last 10',
      ...integer(1, 3650),
    },
    'disk-mb': {
      env: 'HEARTH_DISK_MB',
      default: 'off',
      meaning: 'what the state may take; from nine tenths on nothing new is stored (off: what the disk holds)',
      ...offOr(diskMb),
    },
    inspect: {
      env: 'HEARTH_INSPECT',
      default: 'off',
      meaning:
        'for development only: from this loopback port on, a debugger may stop in functions, which know no timeout then',
      ...offOr(port),
    },
    log: {
      env: 'HEARTH_LOG',
      default: 'info',
      meaning: 'least severe level that is logged',
      ...oneOf(...LOG_LEVELS),
    },
    config: {
      env: 'HEARTH_CONFIG',
      default: null,
      meaning: 'file with bases and pools (default: hearth.config.jsonc of the working directory, if there)',
      ...path,
    },
  } as const satisfies Record<string, Setting<unknown>>;
}

type Settings = ReturnType<typeof settings>;
export type Flag = keyof Settings;
export type ValueOf<Name extends Flag> = Exclude<ReturnType<Settings[Name]['parse']>, undefined>;

/** What no error shows: a password may be in it. */
export const SECRET: ReadonlySet<Flag> = new Set(['admin-token', 'secret-key', 'redis-url']);
