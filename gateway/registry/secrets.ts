/** The registry's part that opens secrets: what functions run with is in memory, and is read anew when it was changed. */

import type { FunctionSecrets, SecretStore } from '../store/api/secrets.ts';
import type { Seal } from '../store/seal.ts';
import type { Logger } from '../telemetry/log.ts';
import type { OpenedSecrets } from './specs.ts';

export interface Secrets {
  of(functionName: string): OpenedSecrets;
  /** All that there are, at the start. */
  load(): Promise<void>;
  /** Of one function, after they were changed or it was deleted. */
  reload(functionName: string): Promise<void>;
}

const NO_SECRETS: OpenedSecrets = { revision: 0, values: {}, problem: null };

export function createSecrets(parts: {
  store: Pick<SecretStore, 'load' | 'reseal'>;
  seal: Seal;
  log: Pick<Logger, 'error'>;
}): Secrets {
  const { store, seal, log } = parts;
  const secrets = new Map<string, OpenedSecrets>();

  const of = (name: string): OpenedSecrets => secrets.get(name) ?? NO_SECRETS;

  function open(loaded: FunctionSecrets): void {
    const values: Record<string, string> = Object.create(null);
    let problem: Error | null = null;
    for (const { key, sealed } of loaded.secrets) {
      try {
        values[key] = seal.open(loaded.functionName, key, sealed);
      } catch (error) {
        problem = error instanceof Error ? error : new Error(String(error));
        log.error(problem.message, { function: loaded.functionName });
      }
    }
    secrets.set(loaded.functionName, { revision: loaded.revision, values, problem });
  }

  /** What was sealed with an older key is sealed with the newest, so that the older one can be given up. */
  async function reseal({ functionName, secrets: stale }: FunctionSecrets): Promise<void> {
    for (const { key, sealed } of stale) {
      const value = of(functionName).values[key];
      if (value === undefined || seal.isCurrent(sealed)) continue;
      await store.reseal(functionName, key, sealed, seal.seal(functionName, key, value));
    }
  }

  return {
    of,
    async load() {
      const loaded = await store.load(null);
      for (const one of loaded) open(one);
      await Promise.all(loaded.map(reseal));
    },
    async reload(name) {
      const [found] = await store.load(name);
      if (found === undefined) secrets.delete(name);
      else open(found);
    },
  };
}
