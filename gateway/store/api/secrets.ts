/** Secrets: values are already encrypted when they get here. */

export interface FunctionSecrets {
  functionName: string;
  revision: number;
  secrets: { key: string; sealed: Uint8Array }[];
}

export interface SecretStore {
  /** Also raises the function's secretRevision, in the same commit, and returns it. The function need not exist yet. */
  put(functionName: string, key: string, sealed: Uint8Array, nowMs: number): Promise<number>;
  delete(functionName: string, key: string): Promise<{ found: boolean; revision: number }>;
  /** In order of their keys. */
  all(functionName: string): Promise<{ key: string; sealed: Uint8Array; updatedAt: number }[]>;
  /** What specs are made of, of one function or (null) of all that ever had a secret. Empty when it never had one. */
  load(functionName: string | null): Promise<FunctionSecrets[]>;
  /** The same value under a newer key: no new revision. Does nothing when the secret was changed since `old` was read. */
  reseal(functionName: string, key: string, old: Uint8Array, sealed: Uint8Array): Promise<void>;
}
