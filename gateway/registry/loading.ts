/** The registry's part that reads what is stored when a gateway starts. */
import { HearthError } from '../../functions/contract/errors.ts';
import type { FunctionRecord, RegistryPage, RegistryStore } from '../store/api/registry.ts';
import type { KeptFunction } from './entries.ts';
import type { ImageCache } from './images.ts';

/** Images up to this size are read ahead after a start, so that the first call finds them in memory. */
const SMALL_IMAGE_BYTES = 64 * 1024;
/** So many functions, those that were changed last. Each costs 30 KB at a start, and of ten thousand few are called soon. */
const READ_AHEAD_FUNCTIONS = 50;

/** In parts, and each version as text (VersionRecord as JSON): what is read of ten thousand functions is never in memory at once. */
export async function loadFunctions(
  store: Pick<RegistryStore, 'page'>,
  take: (record: FunctionRecord, versions: readonly string[]) => void,
): Promise<void> {
  for (let after: string | null = null; ; ) {
    const page: RegistryPage = await store.page(after);
    const versions = Map.groupBy(page.versions, ({ functionName }) => functionName);
    for (const record of page.functions) {
      take(
        record,
        (versions.get(record.name) ?? []).map(({ text }) => text),
      );
    }
    if (page.next === null) return;
    after = page.next;
  }
}

export async function readAhead(functions: ReadonlyMap<string, KeptFunction>, images: ImageCache): Promise<void> {
  const lastChanged = [...functions.values()].sort((a, b) => b.record.updatedAt - a.record.updatedAt);
  for (const { record } of lastChanged.slice(0, READ_AHEAD_FUNCTIONS)) {
    for (const version of functions.get(record.name)?.serving ?? []) {
      if (version.record.sizeBytes > SMALL_IMAGE_BYTES) continue;
      try {
        await images.get(version.record);
      } catch (error) {
        // Deleted meanwhile. Anything else ends it: what is wanted is read when it is asked for.
        if (!(error instanceof HearthError) || error.code !== 'NOT_FOUND') throw error;
      }
    }
  }
}
