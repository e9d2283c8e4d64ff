/**
 * The settings: one table that flags, environment, `--help` and errors are made from. Flags win over the environment.
 * What stands in hearth.config.jsonc (bases, pools) is read by config-file.ts.
 */
import { totalmem } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Target } from './store/redis/connection.ts';
import { REDIS_URL_ALLOWED, readRedisUrl } from './store/redis/target.ts';
import { LOG_LEVELS, type LogLevel } from './telemetry/log.ts';

export interface Config {
  /** Function traffic. Port 0 takes a free one. */
  host: string;
  port: number;
  adminHost: string;
  adminPort: number;
  /** null: made at first start and kept in the data directory. */
  adminToken: string | null;
  /** Absolute. */
  dataDir: string;
  examples: 'auto' | 'off';
  /** Where state is kept; null: in SQLite, in the data directory. */
  redis: Target | null;
  /** arklet's operations API, on adminHost; null: off. Port 0 takes a free one. */
  arkletPort: number | null;
  /** `off`: programs of this machine need none; on a loopback adminHost only. */
  arkletToken: 'required' | 'off';
  /** Directories (absolute) that modules may come from, and hosts that may be at any address. */
  arkletSources: string[];
  /** Warm bases without a lessee, per base definition in use. */
  warmBases: number;
  maxBases: number;
  basesPerHost: number;
  /** What hosts may use together, as PSS. */
  memoryMb: number;
  maxBodyBytes: number;
  maxDeployBytes: number;
  network: 'all' | 'none';
  sandbox: 'auto' | 'off' | 'require';
  /** Addresses and CIDR ranges whose forwarded headers are believed. */
  trustProxy: string[];
  /** Whether callbacks of asynchronous invocations may go to private networks. */
  callbackPrivate: 'refuse' | 'allow';
  /** Newest first; empty: made at first start and kept in the data directory. */
  secretKeys: string[];
  retentionDays: number;
  log: LogLevel;
  /** Absolute path of the file with bases and pools; null: hearth.config.jsonc of the working directory, if there. */
  configFile: string | null;
}

/** A setting with a value that is not allowed. The message is one line that names setting, value and what is allowed. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

interface Setting<Value> {
  env: string;
  /** As text, for `--help`; null: no default. */
  default: string | null;
  allowed: string;
  meaning: string;
  /** undefined: not allowed. */
  parse(text: string): Value | undefined;
}

const mb = 1024 * 1024;

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

const port = integer(0, 65_535);
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
  return Math.max(256, Math.floor(Math.min(totalmem(), limit > 0 ? limit : Number.POSITIVE_INFINITY) / 2 / mb));
}

function settings() {
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
      allowed: `off, or ${port.allowed}`,
      meaning: "port of arklet's operations API, on HEARTH_ADMIN_HOST; 0 takes a free one",
      parse: (text: string): number | 'off' | undefined => (text === 'off' ? text : port.parse(text)),
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
      meaning: 'allow: callbacks of asynchronous invocations may go to private networks; never to this machine',
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
type Flag = keyof Settings;
type ValueOf<Name extends Flag> = Exclude<ReturnType<Settings[Name]['parse']>, undefined>;

/** What no error shows: a password may be in it. */
const SECRET: ReadonlySet<Flag> = new Set(['admin-token', 'secret-key', 'redis-url']);

/** Reads flags and environment. Throws ConfigError on the first bad value. `help` asks for helpText() instead of a start. */
export function readConfig(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): {
  config: Config;
  help: boolean;
} {
  const table = settings();
  const flags = readFlags(args, Object.keys(table));

  function optional<Name extends Flag>(name: Name): ValueOf<Name> | null {
    const setting: Setting<ValueOf<Name>> = table[name] as never;
    const flag = flags.get(name);
    const text = flag ?? env[setting.env] ?? setting.default;
    // An empty variable is how compose files and shells write "not set".
    if (text === null || (flag === undefined && text === '' && setting.default === null)) return null;
    const value = setting.parse(flag === undefined && text === '' ? (setting.default ?? '') : text);
    if (value === undefined) {
      const given = SECRET.has(name) ? 'a value that does not fit' : JSON.stringify(text);
      const origin = flag === undefined ? setting.env : `--${name}`;
      throw new ConfigError(`${origin}: given ${given}, allowed is ${setting.allowed}.`);
    }
    return value;
  }
  function required<Name extends Flag>(name: Name): ValueOf<Name> {
    const value = optional(name);
    if (value === null) throw new ConfigError(`${table[name].env}: not given, allowed is ${table[name].allowed}.`);
    return value;
  }

  const config: Config = {
    host: required('host'),
    port: required('port'),
    adminHost: required('admin-host'),
    adminPort: required('admin-port'),
    adminToken: optional('admin-token'),
    dataDir: required('data-dir'),
    examples: required('examples'),
    // Other programs have a REDIS_URL too: it is looked at by who needs it.
    redis: required('store') === 'redis' ? required('redis-url') : null,
    arkletPort: asPort(required('arklet-port')),
    arkletToken: required('arklet-token'),
    arkletSources: required('arklet-sources'),
    warmBases: required('warm-bases'),
    maxBases: required('max-bases'),
    basesPerHost: required('bases-per-host'),
    memoryMb: required('memory-mb'),
    maxBodyBytes: required('max-body-mb') * mb,
    maxDeployBytes: required('max-deploy-mb') * mb,
    network: required('network'),
    sandbox: required('sandbox'),
    trustProxy: required('trust-proxy'),
    callbackPrivate: required('callback-private'),
    secretKeys: optional('secret-key') ?? [],
    retentionDays: required('retention-days'),
    log: required('log'),
    configFile: optional('config'),
  };
  if (config.warmBases > config.maxBases) {
    throw new ConfigError(
      `HEARTH_WARM_BASES: given "${config.warmBases}", allowed is at most HEARTH_MAX_BASES (${config.maxBases}).`,
    );
  }
  if (config.port !== 0 && config.port === config.adminPort && config.host === config.adminHost) {
    throw new ConfigError(
      `HEARTH_ADMIN_PORT: given "${config.adminPort}", allowed is a port other than HEARTH_PORT, or 0.`,
    );
  }
  requireArklet(config);
  return { config, help: flags.has('help') };
}

function requireArklet({ host, port, adminHost, adminPort, arkletPort, arkletToken }: Config): void {
  if (arkletPort === null) return;
  const taken =
    (arkletPort === adminPort ? 'HEARTH_ADMIN_PORT' : null) ??
    (arkletPort === port && adminHost === host ? 'HEARTH_PORT' : null);
  if (arkletPort !== 0 && taken !== null) {
    throw new ConfigError(`HEARTH_ARKLET_PORT: given "${arkletPort}", allowed is a port other than ${taken}, or 0.`);
  }
  if (arkletToken === 'off' && !/^(127\.\d+\.\d+\.\d+|::1|localhost)$/.test(adminHost)) {
    throw new ConfigError(
      `HEARTH_ARKLET_TOKEN: given "off", allowed is required while HEARTH_ADMIN_HOST (${adminHost}) is not loopback.`,
    );
  }
}

function asPort(given: number | 'off'): number | null {
  return given === 'off' ? null : given;
}

function readFlags(args: readonly string[], names: readonly string[]): Map<string, string> {
  const { tokens } = parseArgs({
    args: [...args],
    strict: false,
    tokens: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      ...Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])),
    },
  });
  const flags = new Map<string, string>();
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') {
      throw new ConfigError(`${JSON.stringify(token.value)}: not a flag; --help lists what there is.`);
    }
    if (token.name === 'help') {
      flags.set('help', '');
      continue;
    }
    if (!names.includes(token.name))
      throw new ConfigError(`${token.rawName}: no such flag; --help lists what there is.`);
    if (token.value === undefined) throw new ConfigError(`${token.rawName}: given without a value.`);
    flags.set(token.name, token.value);
  }
  return flags;
}

/** What `--help` prints. */
export function helpText(): string {
  const rows = Object.entries(settings()).map(([name, setting]: [string, Setting<unknown>]) => ({
    left: `  --${name} VALUE`,
    right: [
      setting.meaning,
      `    ${setting.env}; ${setting.allowed}${setting.default ? `; default ${setting.default}` : ''}`,
    ],
  }));
  const width = Math.max(...rows.map((row) => row.left.length)) + 2;
  const lines = rows.flatMap(({ left, right: [meaning, detail] }) => [
    `${left.padEnd(width)}${meaning}`,
    `${' '.repeat(width)}${detail?.trim()}`,
  ]);
  return [
    'Hearth, a self-hosted function gateway.',
    '',
    'Usage: npm start -- [flags]',
    '',
    'Each flag has an environment variable; flags win.',
    '',
    ...lines,
    '',
    '  OTEL_*: as the OpenTelemetry standard says; OTEL_EXPORTER_OTLP_ENDPOINT turns export on.',
    '',
  ].join('\n');
}
