/** A store that takes nothing new while the quota is used up. What frees room, and what was accepted, goes on. */
import type { AsyncRecord } from '../store/api/asyncs.ts';
import type { Artifact } from '../store/api/registry.ts';
import type { Store } from '../store/store.ts';
import type { Quota } from './quota.ts';

export function withinQuota(store: Store, quota: Pick<Quota, 'refusal' | 'taking'>): Store {
  async function take<Result>(bytes: number, write: () => Promise<Result>): Promise<Result> {
    const refusal = quota.refusal();
    if (refusal !== null) throw refusal;
    quota.taking(bytes);
    return write();
  }
  const { registry, kv, queues, files, counters, configs, bases, asyncs, answers } = store;
  return {
    ...store,
    registry: {
      ...registry,
      putVersion: (version, artifact) => take(sizeOf(artifact), () => registry.putVersion(version, artifact)),
      deploy: (version, artifact, record) => take(sizeOf(artifact), () => registry.deploy(version, artifact, record)),
    },
    kv: {
      ...kv,
      put: (namespace, key, entry) => take(entry.value.byteLength, () => kv.put(namespace, key, entry)),
    },
    queues: {
      ...queues,
      enqueue: (queue, messages, nowMs) =>
        take(
          messages.reduce((sum, { body }) => sum + body.byteLength, 0),
          () => queues.enqueue(queue, messages, nowMs),
        ),
      publish: (names, messages, nowMs) =>
        take(messages.reduce((sum, { body }) => sum + body.byteLength, 0) * names.length, () =>
          queues.publish(names, messages, nowMs),
        ),
    },
    files: {
      ...files,
      writePart: (upload, number, bytes, nowMs) =>
        take(bytes.byteLength, () => files.writePart(upload, number, bytes, nowMs)),
      // An empty one has no part, and each has its key and what its writer says of it.
      put: (...args) => take(0, () => files.put(...args)),
    },
    counters: { ...counters, add: (...args) => take(0, () => counters.add(...args)) },
    asyncs: {
      ...asyncs,
      put: (record, body) => (isNew(record) ? take(0, () => asyncs.put(record, body)) : asyncs.put(record, body)),
    },
    answers: { ...answers, begin: (...args) => take(0, () => answers.begin(...args)) },
    configs: { ...configs, put: (...args) => take(0, () => configs.put(...args)) },
    bases: { ...bases, put: (...args) => take(0, () => bases.put(...args)) },
  };
}

/** Accepted just now; what follows is of one that was. */
function isNew({ attempts, since, acceptedAt }: AsyncRecord): boolean {
  return attempts === 0 && since === acceptedAt;
}

function sizeOf({ code, sourceMap, files, codeCache }: Artifact): number {
  const rest = (sourceMap?.byteLength ?? 0) + (codeCache?.bytes.byteLength ?? 0);
  return files.reduce((sum, { bytes }) => sum + bytes.byteLength, code.byteLength + rest);
}
