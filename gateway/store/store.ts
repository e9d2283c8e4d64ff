/**
 * All durable state, behind one interface with two implementations (SQLite and Redis) that pass one contract suite. Each
 * domain has its own file in api/; what is said here holds for all of them.
 *
 * Every method is one atomic operation of the domain, never a piece of one, so that an implementation may be a
 * transaction or a script. A promise resolves only after the change is durable. Failures: HearthError NO_CAPACITY when
 * the store is away or full, CONFLICT and NOT_FOUND where a method says so. Times are epoch ms; `nowMs` is always the
 * caller's clock.
 */
import type { AnswerStore } from './api/answers.ts';
import type { AsyncStore } from './api/asyncs.ts';
import type { AuditStore } from './api/audit.ts';
import type { BaseStore } from './api/bases.ts';
import type { ChangeFeed } from './api/changes.ts';
import type { ConfigStore } from './api/configs.ts';
import type { CounterStore } from './api/counters.ts';
import type { CronStore } from './api/crons.ts';
import type { DiskStore } from './api/disk.ts';
import type { FileStore } from './api/files.ts';
import type { KvStore } from './api/kv.ts';
import type { LeaseStore } from './api/leases.ts';
import type { LockStore } from './api/locks.ts';
import type { PublicationStore } from './api/publications.ts';
import type { QueueStore } from './api/queues.ts';
import type { RegistryStore } from './api/registry.ts';
import type { RolloutStore } from './api/rollouts.ts';
import type { SecretStore } from './api/secrets.ts';
import type { TokenStore } from './api/tokens.ts';

export interface Store {
  readonly registry: RegistryStore;
  readonly publications: PublicationStore;
  readonly rollouts: RolloutStore;
  readonly bases: BaseStore;
  readonly secrets: SecretStore;
  readonly kv: KvStore;
  readonly files: FileStore;
  readonly locks: LockStore;
  readonly counters: CounterStore;
  readonly configs: ConfigStore;
  readonly queues: QueueStore;
  readonly crons: CronStore;
  readonly asyncs: AsyncStore;
  readonly answers: AnswerStore;
  readonly leases: LeaseStore;
  readonly changes: ChangeFeed;
  readonly tokens: TokenStore;
  readonly audit: AuditStore;
  readonly disk: DiskStore;
  /** Finishes what was begun, then closes. Idempotent. */
  close(): Promise<void>;
}
