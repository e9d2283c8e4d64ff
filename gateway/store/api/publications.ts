/** Under which routes, queues and crons functions are published, as the API was told. */
import type { PublicationSettings } from '../../../functions/contract/publication.ts';

/** What the API was told; what follows from a manifest alone is not stored. */
export interface PublicationRecord extends PublicationSettings {
  name: string;
  createdAt: number;
  updatedAt: number;
}

export interface PublicationStore {
  /** In the order of names. `withdrawn`: functions that are not published though their manifest would have it. */
  load(): Promise<{ publications: PublicationRecord[]; withdrawn: string[] }>;
  /** Creates or replaces. A function of this name is withdrawn no longer. */
  put(record: PublicationRecord): Promise<void>;
  /** False when there was none. */
  delete(name: string): Promise<boolean>;
  /** Removes the publication of this name, if there is one; what the function's manifest publishes is taken back too. */
  withdraw(functionName: string): Promise<void>;
}
