/**
 * The registry's part that takes over what other gateways have changed: read from the store, compared with what is known,
 * and put in its place as if it had been changed here.
 */
import type { PublicationStore } from '../store/api/publications.ts';
import type { RegistryStore, VersionRecord } from '../store/api/registry.ts';
import type { KeptFunction, KeptVersion } from './entries.ts';
import type { Publications } from './publications.ts';
import type { Changed, Left } from './registry.ts';
import type { OpenedSecrets } from './specs.ts';

export interface RefreshingParts {
  store: { registry: Pick<RegistryStore, 'functions'>; publications: Pick<PublicationStore, 'load'> };
  functions: ReadonlyMap<string, KeptFunction>;
  publications: Publications;
  secretsOf(functionName: string): OpenedSecrets;
  reloadSecrets(functionName: string): Promise<void>;
  versionEntry(record: VersionRecord): KeptVersion;
  functionEntry(record: KeptFunction['record'], versions: readonly KeptVersion[]): KeptFunction;
  /** Puts an entry in the place of the one before; undefined: there is none any more. */
  publish(functionName: string, entry: KeptFunction | undefined): void;
  /** What no call goes to any more, of one function whose traffic has changed. */
  leave(before: KeptFunction, entry: KeptFunction, why: string): void;
  /** The same of one version. */
  left(left: Left): void;
  forgetImage(version: KeptVersion): void;
  tell(functionName: string): void;
}

interface Move {
  name: string;
  before: KeptFunction | undefined;
  entry: KeptFunction | undefined;
}

const ELSEWHERE = 'changed by another gateway';

/** Resolves with the names of the functions that are not as they were. To be run among the other changes of the registry. */
export function createRefresh(parts: RefreshingParts): (changed: Changed) => Promise<readonly string[]> {
  const { store, functions, publications } = parts;

  return async (changed) => {
    const names = [...new Set(changed.functions)];
    const loaded = names.length === 0 ? NOTHING : await store.registry.functions(names);
    const published = changed.publications ? await store.publications.load() : null;
    const records = new Map(loaded.functions.map((record) => [record.name, record]));
    const texts = Map.groupBy(loaded.versions, ({ functionName }) => functionName);
    const otherSecrets = names.filter((name) => {
      const revision = records.get(name)?.secretRevision;
      return revision === undefined ? functions.has(name) : revision !== parts.secretsOf(name).revision;
    });
    await Promise.all(otherSecrets.map(parts.reloadSecrets));
    // Nothing waits from here on: no request sees one half of it.
    const moves = names.flatMap((name) => moveOf(name) ?? []);
    for (const { name, entry } of moves) parts.publish(name, entry);
    const touched = new Set(moves.map(({ name }) => name));
    if (published !== null) for (const name of publications.replace(published)) touched.add(name);
    // Twice: what one of them gives up, another that came before it may have.
    for (const name of [...touched, ...touched]) publications.follow(name, functions.get(name));
    for (const name of touched) parts.tell(name);
    for (const move of moves) letGo(move);
    return [...touched];

    function moveOf(name: string): Move | null {
      const record = records.get(name);
      const before = functions.get(name);
      if (record === undefined) return before === undefined ? null : { name, before, entry: undefined };
      const secrets = parts.secretsOf(name);
      const kept = (texts.get(name) ?? []).map(({ text }) => {
        const version = JSON.parse(text) as VersionRecord;
        const known = before?.version(version.version);
        if (known === undefined) return parts.versionEntry(version);
        return known.secrets === secrets ? known : known.with(secrets);
      });
      const entry = parts.functionEntry(record, kept);
      return before !== undefined && isSame(before, entry) ? null : { name, before, entry };
    }
  };

  /** Of what it was: versions that are gone, and those that have other secrets now. */
  function letGo({ before, entry }: Move): void {
    if (before === undefined) return;
    const kept = new Set(entry?.kept);
    for (const version of before.kept) {
      if (kept.has(version)) continue;
      version.close();
      if (entry?.version(version.version) === undefined) parts.forgetImage(version);
      parts.left({ version, mayReturn: false, why: ELSEWHERE });
    }
    if (entry !== undefined) parts.leave(before, entry, ELSEWHERE);
  }
}

const NOTHING = { functions: [], versions: [] };

function isSame(one: KeptFunction, other: KeptFunction): boolean {
  return (
    JSON.stringify(one.record) === JSON.stringify(other.record) &&
    one.kept.length === other.kept.length &&
    one.kept.every((version, i) => version === other.kept[i])
  );
}
