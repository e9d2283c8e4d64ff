/** Records as a store holds them, for tests: what a test does not name has a plain value. */
import { type ManifestInput, manifestSchema } from '../../../functions/contract/manifest.ts';
import type { Artifact, VersionRecord } from '../../store/api/registry.ts';
import type { RolloutRecord } from '../../store/api/rollouts.ts';

export interface VersionInput extends Partial<Omit<VersionRecord, 'functionName' | 'version' | 'manifest'>> {
  manifest?: ManifestInput | undefined;
}

export function versionRecord(
  functionName: string,
  version: string,
  { manifest, ...more }: VersionInput = {},
): VersionRecord {
  return {
    functionName,
    version,
    manifest: manifestSchema.parse({ name: functionName, ...manifest }),
    format: 'cjs',
    handlers: ['fetch'],
    sizeBytes: 10,
    provided: [],
    createdAt: 1,
    ...more,
  };
}

export function artifactOf(text: string, more: Partial<Artifact> = {}): Artifact {
  return { code: new Uint8Array(Buffer.from(text)), sourceMap: null, files: [], codeCache: null, ...more };
}

export function rolloutRecord(more: Partial<RolloutRecord> = {}): RolloutRecord {
  return {
    id: 'r1',
    revision: 1,
    functions: [],
    steps: [],
    guard: false,
    state: 'running',
    step: 0,
    elapsedMs: 0,
    since: 0,
    why: null,
    createdBy: 'admin',
    createdAt: 0,
    updatedAt: 0,
    ...more,
  };
}
