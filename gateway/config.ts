/**
 * Reads and checks the settings (settings.ts). Flags win over the environment. What stands in hearth.config.jsonc (bases,
 * pools) is read by start/config-file.ts.
 */
import { parseArgs } from 'node:util';
import { type Flag, SECRET, type Setting, settings, type ValueOf } from './settings.ts';
import type { Target } from './store/redis/connection.ts';
import type { LogLevel } from './telemetry/log.ts';

const mb = 1024 * 1024;

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
  /** What the state may take; null: as far as the disk, or Redis, goes. */
  diskBytes: number | null;
  /** First port of the loopback address on which hosts let a debugger in; null: none is. */
  inspectPort: number | null;
  log: LogLevel;
  /** Absolute path of the file with bases and pools; null: hearth.config.jsonc of the working directory, if there. */
  configFile: string | null;
}

/** A setting with a value that is not allowed. The message is one line that names setting, value and what is allowed. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

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
    diskBytes: asBytes(required('disk-mb')),
    inspectPort: asPort(required('inspect')),
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

function asBytes(given: number | 'off'): number | null {
  return given === 'off' ? null : given * mb;
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
