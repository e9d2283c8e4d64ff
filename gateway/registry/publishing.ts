/** The registry's part that publishes: changes in their turn, committed before they are seen. */
import { HearthError } from '../../functions/contract/errors.ts';
import type { PublicationSettings } from '../../functions/contract/publication.ts';
import type { PublicationRecord, PublicationStore } from '../store/api/publications.ts';
import type { KeptFunction } from './entries.ts';
import { type Publications, withDeadLetters } from './publications.ts';
import { groupOf, requireQueuesOfGroup } from './queue-groups.ts';
import type { Registry } from './registry.ts';

export interface PublishingParts {
  store: PublicationStore;
  publications: Publications;
  functions: ReadonlyMap<string, KeptFunction>;
  /** Epoch ms. */
  now(): number;
  /** Of what has changed. */
  tell(functionName: string): void;
  inTurn<Result>(task: () => Promise<Result>): Promise<Result>;
}

export function createPublishing(
  parts: PublishingParts,
): Pick<
  Registry,
  | 'route'
  | 'consumer'
  | 'publicationsOf'
  | 'isPublished'
  | 'isOpen'
  | 'crons'
  | 'queues'
  | 'publication'
  | 'putPublication'
  | 'deletePublication'
> {
  const { store, publications, functions, now, tell, inTurn } = parts;

  async function put(name: string, settings: PublicationSettings): Promise<PublicationRecord> {
    const entry = functions.get(settings.function);
    if (entry === undefined) throw new HearthError('NOT_FOUND', `There is no function ${settings.function}.`);
    if (name !== settings.function && functions.has(name)) {
      throw new HearthError('CONFLICT', `${name} is the name of a function; publish another one under another name.`);
    }
    const before = publications.record(name);
    const time = now();
    const record = { name, ...settings, createdAt: before?.createdAt ?? time, updatedAt: time };
    publications.requirePublication(record, entry.active?.claims ?? null);
    const trustGroup = groupOf(entry);
    if (trustGroup !== null) {
      const queues = withDeadLetters(record);
      requireQueuesOfGroup(functions, publications, entry.record.name, { queues, trustGroup });
    }
    await store.put(record);
    publications.put(record);
    follow(before?.function ?? settings.function, settings.function);
    return record;
  }

  async function takeBack(name: string): Promise<string | undefined> {
    const record = publications.record(name);
    const owner = record?.function ?? name;
    const publishes = functions.get(name)?.active?.claims.publish === true;
    if (record === undefined && (!publishes || publications.isWithdrawn(name))) return undefined;
    const withdraw = owner === name && publishes;
    if (withdraw) await store.withdraw(name);
    else await store.delete(name);
    publications.delete(name, withdraw);
    follow(owner);
    return owner;
  }

  /** First all is as it shall be, then listeners are told. */
  function follow(...names: string[]): void {
    const changed = new Set(names);
    for (const name of changed) publications.follow(name, functions.get(name));
    for (const name of changed) tell(name);
  }

  function of<Result>(name: string, ask: (entry: KeptFunction) => Result, otherwise: Result): Result {
    const entry = functions.get(name);
    return entry === undefined ? otherwise : ask(entry);
  }

  return {
    route: (host, path, request = null) => publications.route(host, path, request),
    consumer: (queue) => publications.consumer(queue),
    publicationsOf: (name) => of(name, (entry) => publications.of(entry), []),
    isPublished: (name) => of(name, (entry) => publications.isPublished(entry), false),
    isOpen: (name, by = 'fetch') => of(name, (entry) => publications.isOpen(entry, by), false),
    crons: (name) => of(name, (entry) => publications.crons(entry), []),
    queues: (name) => of(name, (entry) => publications.queues(entry), []),
    publication: (name) => publications.record(name),
    putPublication: (name, settings) => inTurn(() => put(name, settings)),
    deletePublication: (name) => inTurn(() => takeBack(name)),
  };
}
