/**
 * A stored version as the registry keeps it in memory: what differs from a manifest that says nothing, as text. Parsed,
 * one is 6 KB, and most of ten thousand functions are not called today; the text of most is 120 bytes.
 */
import { type Manifest, manifestSchema } from '../../functions/contract/manifest.ts';
import type { VersionRecord } from '../store/api/registry.ts';

/** Shared by all manifests that are read, hence frozen. */
const DEFAULTS = freeze(manifestSchema.parse({}));
const DEFAULT_TEXTS = textsOf(DEFAULTS);
const DEFAULT_SETTING_TEXTS = textsOf(DEFAULTS.hearth);

/** Without the names of function and version, which their entries hold anyway. */
export function compact({ functionName: _name, version: _version, manifest, ...record }: VersionRecord): string {
  const { hearth, ...rest } = manifest;
  const settings = differing(hearth, DEFAULT_SETTING_TEXTS);
  const given = { ...differing(rest, DEFAULT_TEXTS), ...(isEmpty(settings) ? {} : { hearth: settings }) };
  return JSON.stringify({ ...record, manifest: given });
}

export function expand(functionName: string, version: string, text: string): VersionRecord {
  const { manifest, ...record } = JSON.parse(text) as Omit<VersionRecord, 'functionName' | 'version'>;
  const { hearth, ...rest } = manifest as Partial<Manifest>;
  return {
    functionName,
    version,
    ...record,
    manifest: {
      ...DEFAULTS,
      ...rest,
      hearth: hearth === undefined ? DEFAULTS.hearth : { ...DEFAULTS.hearth, ...hearth },
    },
  };
}

function differing(values: object, defaults: ReadonlyMap<string, string>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values).filter(([key, value]) => defaults.get(key) !== JSON.stringify(value)),
  );
}

function textsOf(values: object): ReadonlyMap<string, string> {
  return new Map(Object.entries(values).map(([key, value]) => [key, JSON.stringify(value)]));
}

function isEmpty(values: object): boolean {
  return Object.keys(values).length === 0;
}

function freeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) if (typeof inner === 'object' && inner !== null) freeze(inner);
  return Object.freeze(value);
}
