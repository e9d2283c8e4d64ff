/**
 * The OpenTelemetry standard's environment variables, as far as Hearth honours them. An endpoint turns export on; a bad
 * value throws a ConfigError of one line.
 * https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 */
import { ConfigError } from '../config.ts';
import { ATTR, DEFAULT_SERVICE_NAME } from './names.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface OtlpTarget {
  url: string;
  headers: Record<string, string>;
  timeoutMs: number;
  compression: 'none' | 'gzip';
}

export interface SamplerSettings {
  /** The parent's decision holds where there is one. */
  parentBased: boolean;
  root: 'always_on' | 'always_off' | 'traceidratio';
  /** 0 to 1. */
  ratio: number;
}

export interface BatchSettings {
  scheduleDelayMs: number;
  maxQueueSize: number;
  maxExportBatchSize: number;
  exportTimeoutMs: number;
}

export interface OtelSettings {
  resource: Record<string, string>;
  sampler: SamplerSettings;
  /** null: not exported. */
  traces: OtlpTarget | null;
  metrics: OtlpTarget | null;
  logs: OtlpTarget | null;
  /** OTEL_BSP_*: how spans are batched. */
  batch: BatchSettings;
  /** OTEL_BLRP_*: how log lines are. */
  logBatch: BatchSettings;
  metricIntervalMs: number;
}

export function readOtelSettings(env: Environment): OtelSettings {
  const read = reader(env);
  const disabled = read.oneOf('OTEL_SDK_DISABLED', ['true', 'false'], 'false') === 'true';
  return {
    resource: {
      [ATTR.serviceName]: DEFAULT_SERVICE_NAME,
      ...read.pairs('OTEL_RESOURCE_ATTRIBUTES'),
      ...(read.text('OTEL_SERVICE_NAME') === null ? {} : { [ATTR.serviceName]: read.text('OTEL_SERVICE_NAME') ?? '' }),
    },
    sampler: samplerSettings(read),
    traces: disabled ? null : target(read, 'TRACES', 'v1/traces'),
    metrics: disabled ? null : target(read, 'METRICS', 'v1/metrics'),
    logs: disabled ? null : target(read, 'LOGS', 'v1/logs'),
    batch: batchSettings(read, 'OTEL_BSP', 5_000),
    logBatch: batchSettings(read, 'OTEL_BLRP', 1_000),
    metricIntervalMs: read.positive('OTEL_METRIC_EXPORT_INTERVAL', 60_000),
  };
}

const SAMPLERS = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;

function samplerSettings(read: Reader): SamplerSettings {
  const name = read.oneOf('OTEL_TRACES_SAMPLER', SAMPLERS, 'parentbased_always_on');
  const parentBased = name.startsWith('parentbased_');
  const root = parentBased ? name.slice('parentbased_'.length) : name;
  if (root !== 'traceidratio') return { parentBased, root: root === 'always_on' ? root : 'always_off', ratio: 1 };
  return { parentBased, root, ratio: read.number('OTEL_TRACES_SAMPLER_ARG', 1, 0, 1, 'a number from 0 to 1') };
}

function batchSettings(read: Reader, prefix: 'OTEL_BSP' | 'OTEL_BLRP', delayMs: number): BatchSettings {
  const maxQueueSize = read.positive(`${prefix}_MAX_QUEUE_SIZE`, 2048);
  const maxExportBatchSize = read.positive(`${prefix}_MAX_EXPORT_BATCH_SIZE`, Math.min(512, maxQueueSize));
  if (maxExportBatchSize > maxQueueSize) {
    throw bad(`${prefix}_MAX_EXPORT_BATCH_SIZE`, String(maxExportBatchSize), `at most the queue, ${maxQueueSize}`);
  }
  return {
    scheduleDelayMs: read.positive(`${prefix}_SCHEDULE_DELAY`, delayMs),
    maxQueueSize,
    maxExportBatchSize,
    exportTimeoutMs: read.positive(`${prefix}_EXPORT_TIMEOUT`, 30_000),
  };
}

function target(read: Reader, signal: 'TRACES' | 'METRICS' | 'LOGS', path: string): OtlpTarget | null {
  const own = `OTEL_EXPORTER_OTLP_${signal}`;
  const common = 'OTEL_EXPORTER_OTLP';
  if (read.oneOf(`OTEL_${signal}_EXPORTER`, ['otlp', 'none'], 'otlp') === 'none') return null;
  // A signal's own endpoint is taken as it is; the common one gets the signal's path.
  const url = read.url(`${own}_ENDPOINT`) ?? read.url(`${common}_ENDPOINT`, path);
  if (url === null) return null;
  for (const name of [`${common}_PROTOCOL`, `${own}_PROTOCOL`]) {
    read.oneOf(name, ['http/protobuf'], 'http/protobuf');
  }
  const compression = read.oneOf(`${common}_COMPRESSION`, ['none', 'gzip'], 'none');
  return {
    url,
    headers: { ...read.pairs(`${common}_HEADERS`), ...read.pairs(`${own}_HEADERS`) },
    timeoutMs: read.positive(`${own}_TIMEOUT`, read.positive(`${common}_TIMEOUT`, 10_000)),
    compression: read.oneOf(`${own}_COMPRESSION`, ['none', 'gzip'], compression),
  };
}

function bad(name: string, given: string, allowed: string): ConfigError {
  return new ConfigError(`${name}: given ${JSON.stringify(given)}, allowed is ${allowed}.`);
}

type Reader = ReturnType<typeof reader>;

function reader(env: Environment) {
  /** The standard: an empty value is the same as none. */
  function text(name: string): string | null {
    const value = env[name]?.trim();
    return value === undefined || value === '' ? null : value;
  }
  function number(name: string, otherwise: number, least: number, most: number, allowed: string): number {
    const given = text(name);
    if (given === null) return otherwise;
    const value = Number(given);
    if (!(value >= least && value <= most)) throw bad(name, given, allowed);
    return value;
  }
  function positive(name: string, otherwise: number): number {
    const value = number(name, otherwise, 1, MOST, `a whole number from 1 to ${MOST}`);
    if (!Number.isInteger(value)) throw bad(name, String(value), `a whole number from 1 to ${MOST}`);
    return value;
  }
  function oneOf<const Names extends readonly string[]>(name: string, names: Names, otherwise: Names[number]) {
    const given = text(name);
    if (given === null) return otherwise;
    const found = names.find((candidate) => candidate === given.toLowerCase());
    if (found === undefined) throw bad(name, given, names.join(', '));
    return found as Names[number];
  }
  function url(name: string, path = ''): string | null {
    const given = text(name);
    if (given === null) return null;
    const base = path === '' || given.endsWith('/') ? given : `${given}/`;
    const parsed = URL.parse(base + path);
    if (parsed === null || !/^https?:$/.test(parsed.protocol)) {
      throw bad(name, given, 'a URL such as http://localhost:4318');
    }
    return parsed.href;
  }
  /** `key1=value1,key2=value2`, values percent-encoded (W3C baggage). */
  function pairs(name: string): Record<string, string> {
    const found: Record<string, string> = {};
    for (const pair of (text(name) ?? '').split(',')) {
      if (pair.trim() === '') continue;
      const at = pair.indexOf('=');
      // The value is not shown: headers hold credentials.
      if (at < 1) throw new ConfigError(`${name}: not readable, allowed is key=value, several separated by commas.`);
      found[pair.slice(0, at).trim()] = decode(name, pair.slice(at + 1).trim());
    }
    return found;
  }
  return { text, number, positive, oneOf, url, pairs };
}

/** What a timer of Node can hold. */
const MOST = 2 ** 31 - 1;

function decode(name: string, value: string): string {
  try {
    return decodeURIComponent(value);
  } catch (cause) {
    throw new ConfigError(`${name}: not readable, a percent sign in a value is written %25.`, { cause });
  }
}
