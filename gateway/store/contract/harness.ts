/** What the suites of the store's contract share: how a test gets its store, and samples. */
import { HearthError } from '../../../functions/contract/errors.ts';
import { manifestSchema } from '../../../functions/contract/manifest.ts';
import type { CronPlan } from '../api/crons.ts';
import type { Artifact, FunctionRecord, RegistryPage, VersionRecord } from '../api/registry.ts';
import type { Store } from '../store.ts';

/** Declares one test with a store of its own. `again` closes it and opens it anew. */
export type StoreTest = (sentence: string, body: (store: Store, again: () => Promise<Store>) => Promise<void>) => void;

/** A test of two clients of the same data at once. */
export type SharedTest = (sentence: string, body: (one: Store, two: Store) => Promise<void>) => void;

export const NOW = 1_800_000_000_000;
export const DAY = 24 * 60 * 60 * 1000;

export function withCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof HearthError && error.code === code;
}

/** All of the registry, page by page. */
export async function loadAll({
  registry,
}: Store): Promise<{ functions: FunctionRecord[]; versions: VersionRecord[] }> {
  const functions: FunctionRecord[] = [];
  const versions: VersionRecord[] = [];
  for (let after: string | null = null; ; ) {
    const page: RegistryPage = await registry.page(after);
    functions.push(...page.functions);
    versions.push(...page.versions.map(({ text }) => JSON.parse(text) as VersionRecord));
    if (page.next === null) return { functions, versions };
    after = page.next;
  }
}

export function versionOf(functionName: string, version: string): VersionRecord {
  return {
    functionName,
    version,
    manifest: manifestSchema.parse({ name: functionName, vars: { A: 'x' }, triggers: { crons: ['* * * * *'] } }),
    format: 'cjs',
    handlers: ['fetch', 'queue'],
    sizeBytes: 12,
    provided: [{ library: 'hono', version: '4.0.0', bytes: 100 }],
    createdAt: NOW,
  };
}

export function artifactOf(text: string, more: { cache?: boolean; files?: string[] } = {}): Artifact {
  const bytes = (content: string) => new Uint8Array(Buffer.from(content));
  return {
    code: bytes(text),
    sourceMap: bytes('{}'),
    files: (more.files ?? []).map((path) => ({ path, bytes: bytes(path) })),
    codeCache: more.cache === true ? { key: 'k', bytes: new Uint8Array([1, 2, 3]) } : null,
  };
}

export function functionOf(name: string, version: string): FunctionRecord {
  return {
    name,
    traffic: { split: [{ version, percent: 100 }] },
    previousTraffic: null,
    createdAt: NOW,
    updatedAt: NOW,
    secretRevision: 0,
  };
}

export function cronOf(functionName: string, index: number): CronPlan {
  return {
    id: `${functionName}/${index}`,
    functionName,
    expression: '* * * * *',
    timezone: 'Europe/Berlin',
    missed: 'once',
    overlap: 'skip',
    nextAt: NOW,
  };
}
