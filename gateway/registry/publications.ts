/**
 * Who is reached, and how. Deploying makes a function; publishing gives it routes, crons and queues:
 *
 *   manifest, `publish` not false ──► a publication of the function's name ──┐
 *   PUT /v1/publications/NAME ──────► one of that name, instead or beside ───┼──► routes, crons, queues, rpc
 *   DELETE /v1/publications/NAME ───► gone; the manifest's stays away until it is published again
 *
 * In memory and synchronous: registry.ts commits first, then changes this, between two requests.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import { type Manifest, manifestSchema } from '../../functions/contract/manifest.ts';
import type { PublicationRecord } from '../store/api/publications.ts';
import type { Claims } from './claims.ts';
import type { FunctionEntry, Publication, RouteMatch } from './registry.ts';
import { createRouteTable } from './routes.ts';
import { Splits } from './splits.ts';
import type { Tagged } from './tags.ts';

type Cron = Manifest['triggers']['crons'][number];
type Consumer = Manifest['queues']['consumers'][number];

interface Target {
  readonly entry: FunctionEntry;
  readonly splits: Splits | null;
}

/** What one publication holds, given what the version that takes traffic claims. */
interface Held {
  name: string;
  function: string;
  routes: readonly string[];
  byName: boolean;
  queues: readonly string[];
  tag: string | null;
}

/** A function that may return to a version with these claims, and the rollout that would lead it there. */
export interface KeptClaims {
  readonly name: string;
  readonly claims: Claims;
  readonly rollout: string;
}

interface StoredPublications {
  readonly publications: readonly PublicationRecord[];
  /** Functions whose manifest's publication was taken back. */
  readonly withdrawn: readonly string[];
}

const NONE: readonly never[] = [];

export class Publications {
  readonly #records = new Map<string, PublicationRecord>();
  readonly #byFunction = new Map<string, Set<string>>();
  /** Functions whose manifest's publication was taken back. */
  readonly #withdrawn: Set<string>;
  readonly #splits = new Map<string, Splits>();
  readonly #routes = createRouteTable<Target>();
  readonly #consumers = new Map<string, FunctionEntry>();
  /** What each function consumes, of those that consume anything. */
  readonly #consumed = new Map<string, readonly string[]>();

  readonly #kept: () => Iterable<KeptClaims>;

  /** `kept`: what is to be left free beside what is published. */
  constructor(stored: StoredPublications, kept: () => Iterable<KeptClaims> = () => NONE) {
    this.#kept = kept;
    this.#withdrawn = new Set(stored.withdrawn);
    for (const record of stored.publications) this.#add(record);
  }

  route(host: string, path: string, request: Tagged | null): RouteMatch | undefined {
    const found = this.#routes.match(host, path, request);
    if (found === undefined) return undefined;
    return { entry: found.target.entry, prefix: found.prefix, splits: found.target.splits };
  }

  consumer(queue: string): FunctionEntry | undefined {
    return this.#consumers.get(queue);
  }

  /** Brings what is reached of one function to what it is now; undefined: it is gone, with its publications. */
  follow(name: string, entry: FunctionEntry | undefined): void {
    for (const queue of this.#consumed.get(name) ?? NONE) {
      if (this.#consumers.get(queue)?.record.name === name) this.#consumers.delete(queue);
    }
    this.#consumed.delete(name);
    const own = this.#byFunction.get(name);
    for (const each of own ?? NONE) this.#routes.delete(each);
    if (this.#ownerOf(name) === name) this.#routes.delete(name);
    if (entry === undefined) {
      for (const each of own ?? NONE) this.#remove(each);
      this.#withdrawn.delete(name);
    }
    if (entry?.active === undefined) return;
    const consumed: string[] = [];
    for (const held of this.#heldBy(name, entry.active.claims)) {
      const splits = this.#splits.get(held.name) ?? null;
      this.#routes.set(held.name, { patterns: held.routes, byName: held.byName, tag: held.tag }, { entry, splits });
      for (const queue of held.queues) {
        if (this.#consumers.has(queue)) continue;
        this.#consumers.set(queue, entry);
        consumed.push(queue);
      }
    }
    if (consumed.length > 0) this.#consumed.set(name, consumed);
  }

  /** Throws CONFLICT when another function is published under this one's name. */
  requireName(name: string): void {
    const owner = this.#ownerOf(name);
    if (owner === name) return;
    throw new HearthError(
      'CONFLICT',
      `${name} is the name of a publication of the function ${owner}; delete it first.`,
    );
  }

  /** Throws CONFLICT when a version with these claims, as the one that takes traffic, would hold what is another's. */
  require(name: string, claims: Claims): void {
    for (const held of this.#heldBy(name, claims)) this.#requireFree(held);
  }

  /** The same for a publication that is not there yet. `claims` null: no version of its function takes traffic. */
  requirePublication(record: PublicationRecord, claims: Claims | null): void {
    this.#requireFree(heldOf(record, claims));
  }

  put(record: PublicationRecord): void {
    const before = this.#records.get(record.name);
    if (before !== undefined) this.#remove(record.name, sameSplits(before, record));
    this.#withdrawn.delete(record.name);
    this.#add(record);
  }

  delete(name: string, withdraw: boolean): void {
    this.#remove(name);
    if (withdraw) this.#withdrawn.add(name);
  }

  /** All of them are these now. Returns functions to which that makes a difference: each is to be followed. */
  replace(stored: StoredPublications): Set<string> {
    const touched = new Set<string>();
    const given = new Map(stored.publications.map((record) => [record.name, record]));
    for (const { name, function: owner } of [...this.#records.values()]) {
      if (given.has(name)) continue;
      touched.add(owner);
      this.#remove(name);
    }
    for (const record of given.values()) {
      const before = this.#records.get(record.name);
      if (before !== undefined && JSON.stringify(before) === JSON.stringify(record)) continue;
      if (before !== undefined) touched.add(before.function);
      touched.add(record.function);
      this.put(record);
    }
    const withdrawn = new Set(stored.withdrawn);
    for (const name of withdrawn.symmetricDifference(this.#withdrawn)) {
      touched.add(name);
      if (withdrawn.has(name)) this.#withdrawn.add(name);
      else this.#withdrawn.delete(name);
    }
    return touched;
  }

  isWithdrawn(functionName: string): boolean {
    return this.#withdrawn.has(functionName);
  }

  record(name: string): PublicationRecord | undefined {
    return this.#records.get(name);
  }

  /** Of one function: those that the API made, and the manifest's. */
  of(entry: FunctionEntry): Publication[] {
    const { record, active } = entry;
    const made = Array.from(this.#byFunction.get(record.name) ?? NONE, (name) => this.#records.get(name));
    const stored = made.filter((each) => each !== undefined).map((each) => viewOf(each, active?.manifest, false));
    if (active === undefined || !this.#implied(record.name, active.claims)) return stored;
    return [viewOf(impliedRecord(entry), active.manifest, true), ...stored];
  }

  isPublished({ record, active }: FunctionEntry): boolean {
    return active !== undefined && (this.#byFunction.has(record.name) || this.#implied(record.name, active.claims));
  }

  isOpen({ record, active }: FunctionEntry, by: 'fetch' | 'methods'): boolean {
    if (active === undefined) return false;
    for (const name of this.#byFunction.get(record.name) ?? NONE) {
      const { rpc = false } = this.#records.get(name) ?? {};
      if (rpc === 'methods' || (rpc && by === 'fetch')) return true;
    }
    return by === 'fetch' && this.#implied(record.name, active.claims);
  }

  /** Each once, whatever the number of publications that name it. Reads no manifest that has none. */
  crons({ record: { name }, active }: FunctionEntry): readonly Cron[] {
    if (active === undefined) return NONE;
    const made = this.#byFunction.get(name);
    const given = Array.from(made ?? NONE).map((each) => this.#records.get(each)?.crons ?? null);
    const followed = this.#implied(name, active.claims) || given.includes(null);
    if (made === undefined && !(followed && active.claims.crons)) return NONE;
    const written: readonly Cron[] = active.claims.crons ? active.manifest.triggers.crons : NONE;
    const wanted = new Set(given.flatMap((each): readonly string[] => each ?? NONE));
    const kept = written.filter(({ cron }) => followed || wanted.has(cron));
    const others = [...wanted].filter((cron) => !kept.some((each) => each.cron === cron || each.expression === cron));
    const named = Object.assign({}, ...Array.from(made ?? NONE, (each) => this.#records.get(each)?.cronNames));
    return [...kept, ...others.map((cron) => ({ cron: named[cron] ?? cron, expression: cron }))];
  }

  /** What a function consumes, as its manifest has it, or with defaults where that says nothing of the queue. */
  queues({ record, active }: FunctionEntry): readonly Consumer[] {
    const names = this.#consumed.get(record.name);
    if (active === undefined || names === undefined) return NONE;
    const written: readonly Consumer[] = active.claims.consumes.length === 0 ? NONE : active.manifest.queues.consumers;
    const made = Array.from(this.#byFunction.get(record.name) ?? NONE, (each) => this.#records.get(each)?.consumers);
    const settings = [...made.flatMap((each): readonly Consumer[] => each ?? NONE), ...written];
    return names.map((name) => settings.find(({ queue }) => queue === name) ?? defaultConsumer(name));
  }

  /** Queues that publications name, by function, with their dead letters. */
  *named(): Iterable<{ function: string; queues: readonly string[] }> {
    for (const record of this.#records.values()) {
      if (record.queues !== null) yield { function: record.function, queues: withDeadLetters(record) };
    }
  }

  #add(record: PublicationRecord): void {
    this.#records.set(record.name, record);
    this.#byFunction.getOrInsertComputed(record.function, () => new Set()).add(record.name);
    if (record.splits.length === 0 || this.#splits.has(record.name)) return;
    this.#splits.set(record.name, new Splits(record.name, record.splits));
  }

  #remove(name: string, keepSplits = false): void {
    this.#routes.delete(name);
    const record = this.#records.get(name);
    if (record === undefined) return;
    this.#records.delete(name);
    if (!keepSplits) this.#splits.delete(name);
    const own = this.#byFunction.get(record.function);
    own?.delete(name);
    if (own?.size === 0) this.#byFunction.delete(record.function);
  }

  /** The function whose publication has this name, or would. */
  #ownerOf(name: string): string {
    return this.#records.get(name)?.function ?? name;
  }

  #implied(name: string, claims: Claims): boolean {
    return claims.publish && !this.#withdrawn.has(name) && !this.#records.has(name);
  }

  *#heldBy(name: string, claims: Claims): Iterable<Held> {
    if (this.#implied(name, claims)) {
      const { routes, consumes: queues } = claims;
      yield { name, function: name, routes, byName: true, queues, tag: null };
    }
    for (const each of this.#byFunction.get(name) ?? NONE) {
      const record = this.#records.get(each);
      if (record !== undefined) yield heldOf(record, claims);
    }
  }

  #requireFree(held: Held): void {
    this.#requireNotKept(held);
    const taken = this.#routes.conflict(held.name, { patterns: held.routes, tag: held.tag });
    if (taken !== undefined) {
      const owner = this.#ownerOf(taken.owner);
      const publication = taken.owner === owner ? '' : ` (publication ${taken.owner})`;
      const tag = held.tag === null ? '' : ` under the tag ${held.tag}`;
      throw new HearthError(
        'CONFLICT',
        `The route ${taken.pattern} belongs${tag} to the function ${owner}${publication}.`,
      );
    }
    for (const queue of held.queues) {
      const consumer = this.#consumers.get(queue);
      if (consumer === undefined || consumer.record.name === held.function) continue;
      if (!this.#consumesBeside(consumer, queue, held.name)) continue;
      const owner = consumer.record.name;
      throw new HearthError('CONFLICT', `The queue ${queue} is consumed by the function ${owner}; a queue has one.`);
    }
  }

  /** Throws CONFLICT when a function that is rolled out may go back to what is asked for. */
  #requireNotKept(held: Held): void {
    for (const { name, claims, rollout } of this.#kept()) {
      if (name === held.function) continue;
      for (const { routes, tag, queues } of this.#heldBy(name, claims)) {
        const table = createRouteTable<null>();
        table.set(name, { patterns: routes, byName: false, tag }, null);
        const route = table.conflict(held.name, { patterns: held.routes, tag: held.tag })?.pattern;
        const queue = held.queues.find((each) => queues.includes(each));
        if (route === undefined && queue === undefined) continue;
        const taken = route === undefined ? `queue ${queue}` : `route ${route}`;
        throw new HearthError(
          'CONFLICT',
          `The ${taken} is kept for the function ${name}, which the rollout ${rollout} may lead back to it.`,
        );
      }
    }
  }

  /** Whether by another publication than this one, which is about to be replaced. */
  #consumesBeside({ record, active }: FunctionEntry, queue: string, publication: string): boolean {
    if (active === undefined) return false;
    for (const { name, queues } of this.#heldBy(record.name, active.claims)) {
      if (name !== publication && queues.includes(queue)) return true;
    }
    return false;
  }
}

function heldOf(record: PublicationRecord, claims: Claims | null): Held {
  return {
    name: record.name,
    function: record.function,
    routes: record.routes ?? claims?.routes ?? NONE,
    byName: record.byName ?? record.routes === null,
    queues: record.queues ?? claims?.consumes ?? NONE,
    tag: record.tag,
  };
}

function impliedRecord({ record: { name, createdAt, updatedAt } }: FunctionEntry): PublicationRecord {
  const manifests = { routes: null, crons: null, queues: null };
  return { name, function: name, ...manifests, rpc: true, tag: null, splits: [], createdAt, updatedAt };
}

function viewOf(record: PublicationRecord, manifest: Manifest | undefined, implied: boolean): Publication {
  return {
    ...record,
    routes: record.routes ?? manifest?.routes ?? NONE,
    byName: record.byName ?? record.routes === null,
    crons: record.crons ?? manifest?.triggers.crons.map(({ cron }) => cron) ?? NONE,
    queues: record.queues ?? manifest?.queues.consumers.map(({ queue }) => queue) ?? NONE,
    implied,
  };
}

function sameSplits(a: PublicationRecord, b: PublicationRecord): boolean {
  return JSON.stringify(a.splits) === JSON.stringify(b.splits);
}

/** A consumer without settings of its own has the default ones. */
export function withDeadLetters({ queues, consumers }: Pick<PublicationRecord, 'queues' | 'consumers'>): string[] {
  return (queues ?? NONE).flatMap((queue) => {
    const { dead_letter_queue } = consumers?.find((each) => each.queue === queue) ?? defaultConsumer(queue);
    return [queue, dead_letter_queue];
  });
}

function defaultConsumer(queue: string): Consumer {
  const [consumer] = manifestSchema.parse({ queues: { consumers: [{ queue }] } }).queues.consumers;
  if (consumer === undefined) throw new RangeError(`no consumer of ${queue}`);
  return consumer;
}
